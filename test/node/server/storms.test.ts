/** What a node has to come through with its books in order: its engine killed under full load, a thousand departures. */
import { expect, test } from "vitest";
import { openLlama } from "../engines/weights-under-test.ts";
import { readEvents, readerOf, readUntil } from "./support/reading.ts";
import { useEdge, useNode } from "./support/node.ts";

const STREAMS = 32;
const DEPARTURES = 1_000;
const SLOTS = 8;
/** The bundled model writes for far longer than this takes. */
const LONG = "Count from 1 to 90.";

const chat = (content: string): object => ({
  model: "any",
  messages: [{ role: "user", content }],
  stream: true,
});
const head = { model: "sluice-tiny", outputCeiling: 900 };

test("the engine killed under 32 streams: every one may go on elsewhere from what its reader has, and each receipt says that", async () => {
  const engine = await openLlama({ slots: STREAMS, contextTokens: 1_024, threads: 1 });
  const { url, edge, workshop } = await useNode({ open: engine });
  const calls = await Promise.all(
    Array.from({ length: STREAMS }, () => edge.call(url, { body: chat(LONG), head: { ...head } })),
  );
  const readers = calls.map((call) => readerOf(call));
  // All of them write, and none has come to its end.
  const begun = await Promise.all(
    readers.map((reader) => readUntil(reader, (seen) => seen.includes(" ids="))),
  );
  process.kill(engine.pid ?? 0, "SIGKILL");
  const rest = await Promise.all(readers.map((reader) => readUntil(reader, () => false)));
  for (const [i, call] of calls.entries()) {
    const seen = readEvents(`${begun[i] ?? ""}${rest[i] ?? ""}`);
    const receipt = await edge.receipt(call.request);
    expect(receipt).toMatchObject({ ended: "engine_died", from: 0, to: seen.to });
    expect(seen.ids).toHaveLength(seen.to);
    expect(seen.done).toBe(false);
    const { tokens } = await edge.journal(url, call.request, 0, 1_000);
    expect(tokens).toEqual(seen.ids);
  }
  await expect.poll(() => workshop.ready, { timeout: 20_000, interval: 20 }).toBe(true);
  const first = calls[0]?.request ?? "";
  const delivered = (await edge.journal(url, first, 0, 1_000)).tokens;
  const resumed = await edge.call(url, {
    body: chat(LONG),
    head: {
      ...head,
      request: first,
      ordinal: 1,
      outputCeiling: delivered.length + 5,
      resume: { from: delivered.length, tokens: delivered, prompt: 10, cached: 0 },
    },
  });
  expect(readEvents(await resumed.text()).to).toBe(delivered.length + 5);
});

test("a thousand readers that leave at any moment: no slot is lost, and each bill is what the journal says", async () => {
  const engine = await openLlama({ slots: SLOTS, contextTokens: 512, threads: 1 });
  const edge = await useEdge();
  const { url, workshop } = await useNode({ open: engine, edge, limits: { queueMax: 64 } });
  // Departures in a fixed order: before the call is answered, with its headers, or after some events.
  let dice = 7;
  const throwDice = (sides: number): number => (dice = (dice * 48_271) % 2_147_483_647) % sides;
  const begun: string[] = [];
  let left = DEPARTURES;
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const caller = new AbortController();
      const { request } = edge.head();
      const events = throwDice(8);
      try {
        const answered = edge.call(url, {
          body: chat(LONG),
          head: { ...head, request },
          signal: caller.signal,
        });
        if (events === 0) setImmediate(() => caller.abort());
        const reader = readerOf(await answered);
        begun.push(request);
        let seen = 1;
        await readUntil(reader, () => (seen += 1) > events);
        caller.abort();
      } catch {
        // It has left.
      }
    }
  };
  await Promise.all(Array.from({ length: 2 * SLOTS }, client));
  await workshop.running.empty();
  expect(begun.length).toBeGreaterThan(DEPARTURES / 10);
  for (const request of begun) {
    const receipt = await edge.receipt(request);
    const journal = await edge.journal(url, request, 0, 1_000);
    expect(receipt).toMatchObject({ ended: "client_gone", from: 0, to: journal.tokens.length });
    expect(receipt.cached).toBeLessThanOrEqual(receipt.prompt);
  }
  expect(workshop.load).toMatchObject({ slots: SLOTS, slotsBusy: 0, queued: 0, prefillTokensPending: 0 });
  const all = await Promise.all(
    Array.from({ length: SLOTS }, () =>
      edge.call(url, { body: chat(LONG), head: { ...head, outputCeiling: 5 } }),
    ),
  );
  for (const response of all)
    expect(readEvents(await response.text())).toMatchObject({ to: 5, finish: "length" });
});
