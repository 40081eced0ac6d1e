/** Events leave at once where there are few, and gather where they come all the time. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseClocks } from "../../../src/account/clocks.ts";
import { FRESH, spent, waitMs, type Pace } from "../../../src/account/pace.ts";

const CLOCKS = parseClocks({});
const { projectDelayMs: DELAY_MS, gatherMs: GATHER_MS } = CLOCKS;
const T0 = 1_000_000;

/** The moments at which messages leave, where an event comes every `everyMs`. */
function leaving(everyMs: number, forMs: number): readonly number[] {
  const times: number[] = [];
  let pace: Pace = FRESH;
  let dueAtMs: number | undefined;
  for (let nowMs = T0; nowMs < T0 + forMs; nowMs += everyMs) {
    if (dueAtMs !== undefined && dueAtMs <= nowMs) {
      times.push(dueAtMs);
      pace = spent(pace, dueAtMs, GATHER_MS);
      dueAtMs = undefined;
    }
    dueAtMs ??= nowMs + waitMs(pace, nowMs, CLOCKS);
  }
  return times;
}

describe("a message", () => {
  test("leaves at once where calls are far between", () => {
    const times = leaving(10_000, 100_000);
    expect(times.map((atMs) => (atMs - T0) % 10_000)).toEqual(times.map(() => DELAY_MS));
  });

  test("gathers five seconds of events where they come all the time", () => {
    expect(leaving(1_000, 100_000).length).toBeLessThanOrEqual(3 + 100_000 / GATHER_MS);
    expect(leaving(20, 100_000).length).toBeLessThanOrEqual(3 + 100_000 / GATHER_MS);
  });

  test("never waits longer than it gathers, whatever came before", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 10_000 })), (gaps) => {
        let pace: Pace = FRESH;
        let nowMs = T0;
        for (const gapMs of gaps) {
          nowMs += gapMs;
          const wait = waitMs(pace, nowMs, CLOCKS);
          expect(wait).toBeGreaterThanOrEqual(DELAY_MS);
          expect(wait).toBeLessThanOrEqual(GATHER_MS);
          pace = spent(pace, nowMs + wait, GATHER_MS);
          nowMs += wait;
        }
      }),
    );
  });
});
