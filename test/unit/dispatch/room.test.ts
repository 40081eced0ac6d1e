/** When nodes that had no room are asked once more, and when a client is told to come back instead. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { LiveNode } from "../../../src/core/node.ts";
import { askAgain, ASKED_AGAIN_MAX, type Busy } from "../../../src/dispatch/room.ts";

const busy = (id: string, roomAtMs: number): Busy => ({ node: { id } as LiveNode, roomAtMs });

test.each<[string, readonly Busy[], Parameters<typeof askAgain>[1], ReturnType<typeof askAgain> | object]>([
  ["nobody was busy: nobody is waited for", [], { nowMs: 0, untilMs: 900, asked: 0 }, undefined],
  [
    "the node that expects room first is asked, when it expects it",
    [busy("a", 500), busy("b", 300)],
    { nowMs: 100, untilMs: 900, asked: 0 },
    { waitMs: 200, node: { id: "b" } },
  ],
  [
    "a node that expects room too late is asked a last time before the refusal is due",
    [busy("a", 4_000)],
    { nowMs: 100, untilMs: 900, asked: 0 },
    { waitMs: 800, node: { id: "a" } },
  ],
  ["the time is up", [busy("a", 100)], { nowMs: 850, untilMs: 900, asked: 0 }, undefined],
  [
    "it was asked often enough",
    [busy("a", 0)],
    { nowMs: 0, untilMs: 900, asked: ASKED_AGAIN_MAX },
    undefined,
  ],
])("%s", (_, nodes, times, expected) => {
  if (expected === undefined) expect(askAgain(nodes, times)).toBeUndefined();
  else expect(askAgain(nodes, times)).toEqual(expected);
});

test("whatever nodes guess, a walk waits no longer than it may, and asks a few times", () => {
  const guess = fc.integer({ min: 0, max: 100_000 });
  fc.assert(
    fc.property(
      fc.array(guess, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 20_000 }),
      (guesses, untilMs) => {
        let nowMs = 0;
        let asked = 0;
        let again = askAgain(
          guesses.map((ms, i) => busy(String(i), ms)),
          { nowMs, untilMs, asked },
        );
        while (again !== undefined) {
          nowMs += again.waitMs;
          asked += 1;
          again = askAgain(
            guesses.map((ms, i) => busy(String(i), nowMs + ms)),
            { nowMs, untilMs, asked },
          );
        }
        expect(nowMs).toBeLessThanOrEqual(untilMs);
        expect(asked).toBeLessThanOrEqual(ASKED_AGAIN_MAX);
      },
    ),
  );
});
