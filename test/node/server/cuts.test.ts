/**
 * A stream cut anywhere an edge can cut it, and continued: the client has every letter once, and is told once why it ended.
 * Cuts are blank lines, but none behind an event that says that it comes together with the next.
 */
import { MORE } from "@sluice/protocol/events";
import { expect, test } from "vitest";
import { readEvents, scripted } from "./support/reading.ts";
import { useNode } from "./support/node.ts";

type Said = { content: string; reasoning: string; calls: string; finishes: string[]; done: number };

/** All that a client makes of these events, tool calls as the SDK puts them together. */
function said(text: string): Said {
  const got: Said = { content: "", reasoning: "", calls: "", finishes: [], done: 0 };
  for (const line of text.split("\n")) {
    if (line === "data: [DONE]") got.done += 1;
    if (!line.startsWith("data: {")) continue;
    const chunk = JSON.parse(line.slice("data: ".length)) as {
      choices: {
        delta: {
          content?: string;
          reasoning_content?: string;
          tool_calls?: { id?: string; function: { name?: string; arguments: string } }[];
        };
        finish_reason: string | null;
      }[];
    };
    for (const { delta, finish_reason: reason } of chunk.choices) {
      got.content += delta.content ?? "";
      got.reasoning += delta.reasoning_content ?? "";
      for (const { id, function: called } of delta.tool_calls ?? [])
        got.calls += `${id === undefined ? "" : `[${id}]`}${called.name ?? ""}${called.arguments}`;
      if (reason !== null) got.finishes.push(reason);
    }
  }
  return got;
}

/** The stream up to the `count`-th place where an edge may cut; undefined behind the last. */
function cutAt(text: string, count: number): string | undefined {
  let at = 0;
  for (let cut = 0; cut < count; cut++) {
    do {
      const next = text.indexOf("\n\n", at);
      if (next < 0) return undefined;
      at = next + 2;
    } while (text.slice(0, at).endsWith(`\n${MORE}\n`));
  }
  return text.slice(0, at);
}

const calls = [{ name: "f", arguments: '{"a":[1,2]}' }];

test.each<[string, object, object, Partial<Said>]>([
  [
    "held back at the ceiling",
    { text: "onST" },
    { stop: ["STOP"], max_tokens: 4 },
    { content: "onST", finishes: ["length"] },
  ],
  ["held back at the end", { text: "onST" }, { stop: ["STOP"] }, { content: "onST", finishes: ["stop"] }],
  ["a stop string", { text: "on STOP it" }, { stop: ["STOP"] }, { content: "on ", finishes: ["stop"] }],
  [
    "half a character at the ceiling",
    { text: "aé" },
    { max_tokens: 2 },
    { content: "a\u{fffd}", finishes: ["length"] },
  ],
  [
    "thinking",
    { text: "yes", think: 3 },
    { thinking: { type: "enabled" } },
    { content: "yes", reasoning: "0 1 2 ", finishes: ["stop"] },
  ],
  [
    "calls of tools",
    { text: "so", calls: [...calls, ...calls] },
    {},
    { content: "so", finishes: ["tool_calls"] },
  ],
  ["a call cut at the ceiling", { calls }, { max_tokens: 7 }, { content: "", finishes: ["length"] }],
])("%s", async (_, directive, more, expected) => {
  const { url, edge } = await useNode();
  // One event for each token, so that there is a cut between any two.
  const body = scripted({ everyMs: 25, ...directive }, { ...more, stream_options: { include_usage: true } });
  const whole = await (await edge.call(url, { body })).text();
  const all = said(whole);
  expect(all).toMatchObject({ ...expected, done: 1 });
  const request = edge.head().request;
  for (let count = 1; ; count++) {
    const first = cutAt(whole, count);
    if (first === undefined || first.length === whole.length) break;
    const seen = readEvents(first);
    const resume = { from: seen.to, tokens: [...seen.ids], prompt: 9, cached: 0 };
    const fast = scripted({ ...directive }, { ...more, stream_options: { include_usage: true } });
    const head = {
      ...(seen.to === 0 ? {} : { resume }),
      request: `${request.slice(0, -2)}${String(count).padStart(2, "0")}`,
    };
    const rest = await (await edge.call(url, { body: fast, head })).text();
    const both = said(first + rest);
    // The id of a call is made from the request's, which a real continuation shares.
    expect({ ...both, calls: both.calls.replaceAll(/\[[^\]]*\]/g, "[]") }, `cut ${count}`).toEqual({
      ...all,
      calls: all.calls.replaceAll(/\[[^\]]*\]/g, "[]"),
    });
  }
});
