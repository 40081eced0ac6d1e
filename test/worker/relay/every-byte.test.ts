/**
 * A connection that is cut after any byte: the client sees whole events only, and then the continuation, as if nothing
 * had happened. Over every byte of streams that real nodes have sent.
 */
import { notesOf } from "@sluice/protocol/events";
import { expect, test } from "vitest";
import { firstLeg, nextLeg } from "../../../src/infer/leg.ts";
import { begin, pass } from "../../../src/relay/answer.ts";
import { startDelivered } from "../../../src/relay/delivered.ts";
import { openOutlet } from "../../../src/relay/outlet.ts";
import { NO_PROGRESS } from "../../../src/relay/progress.ts";
import type { LiveNode } from "../../../src/core/node.ts";
import { bundledModel, scriptEngine } from "./recorded.ts";

const ignore = (): void => undefined;
const encoder = new TextEncoder();
const node = { id: "node_a", region: "eu" } as LiveNode;

/** A node's connection that gives these bytes and then breaks, or ends as if it were whole. */
function connection(bytes: Uint8Array, end: "breaks" | "closes"): ReadableStream<Uint8Array> {
  let given = bytes.length === 0;
  return new ReadableStream({
    type: "bytes",
    pull(controller: ReadableByteStreamController) {
      if (!given) {
        given = true;
        controller.enqueue(bytes.slice());
      } else if (end === "breaks") controller.error(new Error("cut"));
      else {
        controller.close();
        controller.byobRequest?.respond(0);
      }
    },
  });
}

const toOf = (event: string): number => notesOf(event).at(-1)?.to ?? 0;

/** What another node says when it goes on from a position: here, what the first would have said. */
function continuation(events: readonly string[], from: number): string {
  const firstAhead = events.findIndex((event) => toOf(event) > from);
  // Everything was delivered, the end token with its reason too: only what follows that is told again.
  const finish = events.findIndex((event) => event.includes('"finish_reason":"'));
  return events.slice(firstAhead < 0 ? finish + 1 : firstAhead).join("");
}

async function clientSees(
  events: readonly string[],
  cutAt: number,
  end: "breaks" | "closes",
): Promise<string> {
  const outlet = openOutlet();
  const text = new Response(outlet.readable).text();
  const delivered = startDelivered();
  const passing = { heard: ignore, sent: (sent: string) => delivered.add(sent), last: () => "" };
  const hooks = { heard: ignore, pulling: undefined };
  let leg = firstLeg({ promptCeiling: 1, issueByMs: 1 });
  const first = await begin(connection(encoder.encode(events.join("")).subarray(0, cutAt), end), hooks).catch(
    () => undefined,
  );
  if (first?.kind === "begun") {
    const passed = await pass(first.begun, outlet, { before: NO_PROGRESS, ...passing });
    if (passed.end === "natural") {
      await outlet.close();
      return text;
    }
    expect(passed.end).toBe("cut");
    const broken = { ordinal: 0, why: "node_lost", node, promptCeiling: 1, extended: false } as const;
    const { progress: seen } = passed;
    const next = nextLeg(leg, broken, { seen, tokens: delivered.tokens(seen.to), failed: new Map() });
    if (next === undefined) throw new Error("nobody can go on");
    leg = next;
  }
  const rest = encoder.encode(continuation(events, leg.seen.to));
  const second = await begin(connection(rest, "closes"), hooks);
  if (second.kind !== "begun") throw new Error("the second node said nothing");
  expect(await pass(second.begun, outlet, { before: leg.seen, ...passing })).toMatchObject({
    end: "natural",
  });
  await outlet.close();
  return text;
}

/** Each whole event's data, parsed; throws on half a one. Positions may neither be missing nor come twice. */
function read(text: string): { reasoning: string; content: string; ids: readonly number[] } {
  const ids: number[] = [];
  let reasoning = "";
  let content = "";
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  for (const event of text.split("\n\n").slice(0, -2)) {
    ids.push(...notesOf(`${event}\n\n`).flatMap((note) => note.ids ?? []));
    const data = event.split("\n").find((line) => line.startsWith("data: "));
    if (data === undefined) continue;
    const chunk = JSON.parse(data.slice("data: ".length)) as {
      choices: { delta: { content?: string | null; reasoning_content?: string } }[];
    };
    reasoning += chunk.choices[0]?.delta.reasoning_content ?? "";
    content += chunk.choices[0]?.delta.content ?? "";
  }
  return { reasoning, content, ids };
}

/** Reading rests between batches; many connections rest together. */
const AT_ONCE = 100;

const recorded = [
  ["the bundled model's", bundledModel],
  ["the script engine's", scriptEngine],
] as const;

test.each(recorded)("%s stream, cut after any byte, is whole at the client", async (_, events) => {
  const whole = read(events.join(""));
  expect(whole.content).not.toBe("");
  const bytes = encoder.encode(events.join("")).length;
  for (let cutAt = 0; cutAt <= bytes; cutAt += AT_ONCE) {
    const cuts = Array.from({ length: Math.min(AT_ONCE, bytes + 1 - cutAt) }, async (_, i) => {
      const text = await clientSees(events, cutAt + i, i % 2 === 0 ? "breaks" : "closes");
      expect(read(text), `cut after byte ${cutAt + i}`).toEqual(whole);
    });
    await Promise.all(cuts);
  }
});
