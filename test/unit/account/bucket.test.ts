/** Requests per minute: what a bucket grants, whatever the rhythm of the calls. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { fill, fullInMs, take, waitForMs, type Bucket } from "../../../src/account/bucket.ts";

const MINUTE_MS = 60_000;

/** When calls at these moments are granted one by one. */
function granted(perMinute: number, atMs: readonly number[]): number[] {
  let bucket: Bucket | undefined;
  return atMs.filter((nowMs) => {
    const filled = fill(bucket, perMinute, nowMs);
    bucket = filled;
    if (waitForMs(filled, 1, perMinute) > 0) return false;
    bucket = take(filled, 1);
    return true;
  });
}

describe("requests per minute", () => {
  test("a new bucket grants a minute's worth at once, and then no more", ({ expect }) => {
    expect(granted(3, [0, 0, 0, 0, 0])).toEqual([0, 0, 0]);
  });

  test("an empty bucket says how long until the next request is granted", ({ expect }) => {
    const empty: Bucket = { left: 0, atMs: 0 };
    const waitMs = waitForMs(empty, 1, 60);
    expect(waitMs).toBe(1_000);
    expect(waitForMs(fill(empty, 60, waitMs - 1), 1, 60)).toBeGreaterThan(0);
    expect(waitForMs(fill(empty, 60, waitMs), 1, 60)).toBe(0);
  });

  test("a limit of nothing grants nothing", ({ expect }) => {
    expect(granted(0, [0, MINUTE_MS, 60 * MINUTE_MS])).toEqual([]);
  });

  test("a limit that was lowered holds at once", ({ expect }) => {
    expect(fill({ left: 100, atMs: 0 }, 2, 1).left).toBe(2);
  });

  test("a clock that steps back brings nothing, and takes nothing away", ({ expect }) => {
    expect(fill({ left: 1, atMs: 5_000 }, 60, 1_000)).toEqual({ left: 1, atMs: 5_000 });
  });

  test("an unused bucket is full in no time", ({ expect }) => {
    expect(fullInMs(fill(undefined, 10, 0), 10)).toBe(0);
    expect(fullInMs({ left: 5, atMs: 0 }, 10)).toBe(MINUTE_MS / 2);
  });

  test("no stretch of time ever grants more than a minute's worth and what the time brought", ({
    expect,
  }) => {
    const moments = fc.array(fc.integer({ min: 0, max: 5 * MINUTE_MS }), { maxLength: 400 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 120 }), moments, (perMinute, atMs) => {
        const grants = granted(
          perMinute,
          atMs.toSorted((a, b) => a - b),
        );
        for (const [first, from] of grants.entries())
          for (const [more, to] of grants.slice(first).entries())
            expect(more + 1).toBeLessThanOrEqual(perMinute + ((to - from) * perMinute) / MINUTE_MS + 1e-6);
      }),
      { numRuns: 50 },
    );
  });
});
