/** Granted money: spent first, given back last, gone when its time is up. */
import fc from "fast-check";
import { describe, test } from "vitest";
import {
  addGrants,
  endGrants,
  grantedNanoUsd,
  GRANTS_MAX,
  nextEndMs,
  refund,
  takeGranted,
  type Grants,
} from "../../../src/account/grants.ts";

const JUNE = 1_000;
const JULY = 2_000;

const grant = fc.record({
  leftNanoUsd: fc.integer({ min: 1, max: 1_000_000 }),
  expiresAtMs: fc.option(fc.integer({ min: 0, max: 5 })),
});
const grants = fc.array(grant, { maxLength: 8 }).map((list) => addGrants([], list));
const amount = fc.integer({ min: 0, max: 5_000_000 });

describe("granted money", () => {
  test("that ends first is spent first, and what never ends last", ({ expect }) => {
    const all = addGrants(
      [],
      [
        { leftNanoUsd: 10, expiresAtMs: null },
        { leftNanoUsd: 10, expiresAtMs: JULY },
        { leftNanoUsd: 10, expiresAtMs: JUNE },
      ],
    );
    expect(takeGranted(all, 15)).toEqual({
      grants: [
        { leftNanoUsd: 5, expiresAtMs: JULY },
        { leftNanoUsd: 10, expiresAtMs: null },
      ],
      taken: [
        { leftNanoUsd: 10, expiresAtMs: JUNE },
        { leftNanoUsd: 5, expiresAtMs: JULY },
      ],
    });
  });

  test("of the same end is one grant", ({ expect }) => {
    const twice = addGrants([{ leftNanoUsd: 1, expiresAtMs: JUNE }], [{ leftNanoUsd: 2, expiresAtMs: JUNE }]);
    expect(twice).toEqual([{ leftNanoUsd: 3, expiresAtMs: JUNE }]);
  });

  test("with more ends than are kept apart loses nothing and ends no earlier", ({ expect }) => {
    const many: Grants = Array.from({ length: GRANTS_MAX + 5 }, (_, at) => ({
      leftNanoUsd: 1,
      expiresAtMs: at,
    }));
    let all: Grants = [];
    for (const one of many) all = addGrants(all, [one]);
    expect(all).toHaveLength(GRANTS_MAX);
    expect(grantedNanoUsd(all)).toBe(many.length);
    expect(all[0]).toEqual({ leftNanoUsd: 6, expiresAtMs: 5 });
  });

  test("ends to the millisecond, except for what running requests hold of it", ({ expect }) => {
    const all: Grants = [{ leftNanoUsd: 10, expiresAtMs: JUNE }];
    const ended = (held: number, nowMs: number): number => endGrants(all, () => held, nowMs).endedNanoUsd;
    expect(ended(0, JUNE - 1)).toBe(0);
    expect(ended(0, JUNE)).toBe(10);
    expect(ended(4, JUNE)).toBe(6);
    expect(ended(40, JUNE)).toBe(0);
    expect([nextEndMs(all, JUNE - 1), nextEndMs(all, JUNE)]).toEqual([JUNE, null]);
  });

  test("of several ends is kept by each request once, and by those that began before its end alone", ({
    expect,
  }) => {
    const all: Grants = [
      { leftNanoUsd: 10, expiresAtMs: JUNE },
      { leftNanoUsd: 10, expiresAtMs: JULY },
      { leftNanoUsd: 10, expiresAtMs: null },
    ];
    // Four are held since before June, eight more since between June and July.
    const { grants, endedNanoUsd } = endGrants(all, (endMs) => (endMs === JUNE ? 4 : 12), JULY);
    expect(grants.map(({ leftNanoUsd }) => leftNanoUsd)).toEqual([4, 8, 10]);
    expect(endedNanoUsd).toBe(8);
    expect(takeGranted(grants, 5, JUNE).taken).toEqual([{ leftNanoUsd: 5, expiresAtMs: JULY }]);
  });

  test("is neither made nor lost by spending, and stays sorted", ({ expect }) => {
    fc.assert(
      fc.property(grants, amount, (before, nanoUsd) => {
        const { grants: after, taken } = takeGranted(before, nanoUsd);
        expect(grantedNanoUsd(taken)).toBe(Math.min(nanoUsd, grantedNanoUsd(before)));
        expect(addGrants(after, taken)).toEqual(before);
      }),
    );
  });

  test("comes back where it came from: spending and a refund of everything cancel out", ({ expect }) => {
    fc.assert(
      fc.property(grants, amount, (before, charged) => {
        const spent = takeGranted(before, charged);
        const { back, fromGrants } = refund(charged, spent.taken, charged);
        expect(fromGrants).toEqual([]);
        expect(addGrants(spent.grants, back)).toEqual(before);
      }),
    );
  });

  test("comes back only after all that was topped up, in one refund or in two", ({ expect }) => {
    fc.assert(
      fc.property(grants, amount, amount, amount, (before, charged, a, b) => {
        const { taken } = takeGranted(before, charged);
        const first = Math.min(a, charged);
        const second = Math.min(b, charged - first);
        const toppedUp = charged - grantedNanoUsd(taken);
        const once = refund(charged, taken, first + second);
        expect(grantedNanoUsd(once.back)).toBe(Math.max(0, first + second - toppedUp));
        const one = refund(charged, taken, first);
        const two = refund(charged - first, one.fromGrants, second);
        expect(addGrants(one.back, two.back)).toEqual(addGrants([], once.back));
        expect(two.fromGrants).toEqual(once.fromGrants);
      }),
    );
  });
});
