/** When the engine's process tells what: news at once, tokens a few milliseconds apart. */
import { describe, test } from "vitest";
import type { TaskEvent } from "../../../gpu-node/src/engines/llama/messages.ts";
import { Outbox } from "../../../gpu-node/src/engines/llama/outbox.ts";

const token = (id: number): TaskEvent => ({ kind: "tokens", task: 1, ids: [id] });
const END: TaskEvent = { kind: "end", task: 1, why: "stop" };
const READ: TaskEvent = { kind: "evaluated", task: 1, promptTokens: 9 };

/** A day of an outbox: turns of so many milliseconds, each with events; what was sent, and when. */
function day(turnMs: number, turns: readonly (readonly TaskEvent[])[]): readonly [number, number][] {
  const sent: [number, number][] = [];
  let nowMs = 0;
  let planned: { act: () => void; atMs: number }[] = [];
  const outbox = new Outbox({
    send: (events) => sent.push([nowMs, events.length]),
    nowMs: () => nowMs,
    later: (act, ms) => planned.push({ act, atMs: nowMs + ms }),
  });
  const until = (endMs: number): void => {
    for (;;) {
      const [next] = planned.toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > endMs) break;
      planned = planned.filter((other) => other !== next);
      nowMs = next.atMs;
      next.act();
    }
    nowMs = endMs;
  };
  for (const [i, events] of turns.entries()) {
    until((i + 1) * turnMs);
    for (const event of events) outbox.put(event);
    outbox.plan();
  }
  until(1_000);
  return sent;
}

describe("what is told of running answers", () => {
  test("a slow model's tokens go one by one, at once", ({ expect }) => {
    expect(day(20, [[token(1)], [token(2)], [token(3)]])).toEqual([
      [20, 1],
      [40, 1],
      [60, 1],
    ]);
  });

  test("a fast model's tokens go together, eight milliseconds apart, and none stays behind", ({ expect }) => {
    const turns = Array.from({ length: 10 }, (_, i) => [token(i)]);
    expect(day(2, turns)).toEqual([
      [2, 1],
      [10, 3],
      [18, 4],
      [26, 2],
    ]);
  });

  test("the first token and the end do not wait, and take along what does", ({ expect }) => {
    expect(day(1, [[token(1)], [token(2)], [READ, token(3)], [token(4)], [END]])).toEqual([
      [1, 1],
      [3, 3],
      [5, 2],
    ]);
  });
});
