/** The short form of `npm run fuzz`: whatever a client sends, it gets an answer that says what is wrong with it. */
import { expect, test } from "vitest";
import { isTooDeep, JSON_DEPTH_MAX } from "@sluice/protocol/depth";
import { fuzz, isBad } from "../../../tools/fuzz/run.ts";

const BODIES = 3_000;

test("thousands of broken bodies, read by the edge and by a node: no crash, and no blame on us", async () => {
  const { counts, crashes } = await fuzz({ seed: 20, bodies: BODIES });
  expect(crashes).toEqual([]);
  expect(counts.filter(({ outcome }) => isBad(outcome))).toEqual([]);
  const told = (target: string): number =>
    counts.filter((one) => one.target === target).reduce((sum, { count }) => sum + count, 0);
  expect([told("edge"), told("node")]).toEqual([BODIES, BODIES]);
  // A body that nobody takes tests nothing behind the first line.
  for (const target of ["edge", "node"])
    expect(
      counts
        .filter((one) => one.target === target && one.outcome === "taken")
        .reduce((sum, { count }) => sum + count, 0),
    ).toBeGreaterThan(BODIES / 50);
});

test("the same seed makes the same bodies", async () => {
  expect(await fuzz({ seed: 5, bodies: 50 })).toEqual(await fuzz({ seed: 5, bodies: 50 }));
});

test("depth is counted in lists and in objects, and no deeper than need be", () => {
  const nested = (levels: number, wrap: (inner: unknown) => unknown): unknown => {
    let value: unknown = 1;
    for (let level = 0; level < levels; level++) value = wrap(value);
    return value;
  };
  for (const wrap of [(inner: unknown) => [inner], (inner: unknown) => ({ a: inner })]) {
    expect(isTooDeep(nested(JSON_DEPTH_MAX, wrap))).toBe(false);
    expect(isTooDeep(nested(JSON_DEPTH_MAX + 1, wrap))).toBe(true);
    expect(isTooDeep(nested(1_000_000, wrap))).toBe(true);
  }
});
