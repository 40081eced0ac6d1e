/** What is used of a limit: never more granted than allowed, reset exactly at the boundary, in whatever order it is told. */
import fc from "fast-check";
import { describe, test } from "vitest";
import {
  budgetHindrance,
  NOTHING_OPEN,
  requestsHindrance,
  tokensHindrance,
  type Scope,
} from "../../../src/account/limits.ts";
import {
  asOf,
  dayEndMs,
  dayOf,
  monthEndMs,
  monthOf,
  UNUSED,
  withRefund,
  withRequest,
  withSpending,
  withTokens,
  type Used,
} from "../../../src/account/used.ts";
import { NO_LIMITS, type Limits } from "../../../src/core/limits.ts";

const MINUTE_MS = 60_000;
const NEW_YEAR_MS = Date.UTC(2027, 0, 1);
const DAY_MS = 24 * 60 * MINUTE_MS;

function scope(limits: Partial<Limits>, used: Used): Scope {
  return { scope: "key", id: "k", limits: { ...NO_LIMITS, ...limits }, used, tally: NOTHING_OPEN };
}

describe("days and months", () => {
  test("end where UTC's do, leap days and the turn of the year included", ({ expect }) => {
    const ends = (ms: number) => [dayEndMs(dayOf(ms)), monthEndMs(monthOf(ms))];
    expect(ends(NEW_YEAR_MS - 1)).toEqual([NEW_YEAR_MS, NEW_YEAR_MS]);
    expect(ends(NEW_YEAR_MS)).toEqual([NEW_YEAR_MS + DAY_MS, Date.UTC(2027, 1, 1)]);
    expect(ends(Date.UTC(2028, 1, 29, 12))).toEqual([Date.UTC(2028, 2, 1), Date.UTC(2028, 2, 1)]);
  });

  test("begin anew at the very millisecond, and not one before", ({ expect }) => {
    const spent = withSpending(
      withRequest(UNUSED, NO_LIMITS, 0, NEW_YEAR_MS - DAY_MS),
      7,
      NEW_YEAR_MS - DAY_MS,
    );
    const before = asOf(spent, NEW_YEAR_MS - DAY_MS);
    expect([before.dayRequests, before.dayNanoUsd, before.monthNanoUsd]).toEqual([1, 7, 7]);
    const lastMoment = asOf(withSpending(spent, 1, NEW_YEAR_MS - 1), NEW_YEAR_MS - 1);
    expect([lastMoment.dayNanoUsd, lastMoment.monthNanoUsd]).toEqual([8, 8]);
    const after = asOf(lastMoment, NEW_YEAR_MS);
    expect([after.dayRequests, after.dayNanoUsd, after.monthNanoUsd, after.totalNanoUsd]).toEqual([
      0, 0, 0, 8,
    ]);
  });

  test("and all of time count up to what an integer says exactly, and no further", ({ expect }) => {
    const most = withSpending(UNUSED, Number.MAX_SAFE_INTEGER - 1, NEW_YEAR_MS);
    const { dayNanoUsd, monthNanoUsd, totalNanoUsd } = withSpending(most, 10, NEW_YEAR_MS);
    expect(new Set([dayNanoUsd, monthNanoUsd, totalNanoUsd])).toEqual(new Set([Number.MAX_SAFE_INTEGER]));
  });

  test("do not come back when a clock steps back", ({ expect }) => {
    const today = withSpending(UNUSED, 5, NEW_YEAR_MS);
    expect(asOf(today, NEW_YEAR_MS - 1)).toEqual(today);
  });
});

describe("requests per day", () => {
  test("are granted up to the limit, refused until midnight, and granted again at midnight", ({ expect }) => {
    const limits = { ...NO_LIMITS, requestsPerDay: 2 };
    let used = UNUSED;
    for (let i = 0; i < 2; i++) {
      expect(requestsHindrance([scope(limits, used)], NEW_YEAR_MS - 1_000)).toBeNull();
      used = withRequest(used, limits, 0, NEW_YEAR_MS - 1_000);
    }
    expect(requestsHindrance([scope(limits, used)], NEW_YEAR_MS - 1)).toMatchObject({
      refusal: { limit: "requests_per_day", max: 2, remaining: 0, retryAfterMs: 1 },
      waitsFor: null,
    });
    expect(requestsHindrance([scope(limits, used)], NEW_YEAR_MS)).toBeNull();
  });
});

type Life = { readonly atMs: number; readonly asked: number; readonly part: number };
const lives: fc.Arbitrary<Life[]> = fc
  .array(
    fc.record({
      atMs: fc.integer({ min: 0, max: 5 * MINUTE_MS }),
      asked: fc.integer({ min: 1, max: 400 }),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    { maxLength: 120 },
  )
  .map((list) => list.toSorted((a, b) => a.atMs - b.atMs));

describe("tokens per minute", () => {
  test("no stretch of time ever uses more than a minute's worth and what the time brought", ({ expect }) => {
    fc.assert(
      fc.property(lives, fc.integer({ min: 1, max: 1_000 }), (list, tokensPerMinute) => {
        const limits = { ...NO_LIMITS, tokensPerMinute };
        let used = UNUSED;
        const grants: { atMs: number; tokens: number }[] = [];
        for (const { atMs, asked, part } of list) {
          if (tokensHindrance([scope(limits, used)], asked, atMs) !== null) continue;
          const needed = Math.floor(asked * part);
          used = withTokens(withTokens(used, limits, asked, atMs), limits, needed - asked, atMs);
          grants.push({ atMs, tokens: needed });
        }
        for (const [at, from] of grants.entries()) {
          let sum = 0;
          for (const to of grants.slice(at)) {
            sum += to.tokens;
            const brought = ((to.atMs - from.atMs) * tokensPerMinute) / MINUTE_MS;
            expect(sum).toBeLessThanOrEqual(tokensPerMinute + brought + 1e-6);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("corrections that come together add up the same in any order", ({ expect }) => {
    const limits = { ...NO_LIMITS, tokensPerMinute: 1_000 };
    const corrections = fc.array(fc.integer({ min: -100, max: 0 }), { maxLength: 8 });
    fc.assert(
      fc.property(corrections, fc.integer({ min: 1, max: 1_000 }), (list, taken) => {
        const all = (order: readonly number[]): Used =>
          order.reduce(
            (used, tokens) => withTokens(used, limits, tokens, 5),
            withTokens(UNUSED, limits, taken, 0),
          );
        expect(all(list).tokens?.left).toBeCloseTo(all(list.toReversed()).tokens?.left ?? -1, 6);
      }),
    );
  });
});

describe("a budget", () => {
  type Step = {
    readonly kind: "start" | "end";
    readonly cost: number;
    readonly part: number;
    readonly waitMs: number;
  };
  const steps = fc.array(
    fc.record<Step>({
      kind: fc.constantFrom("start", "end"),
      cost: fc.integer({ min: 1, max: 60 }),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
      waitMs: fc.constantFrom(0, 1_000, DAY_MS / 3),
    }),
    { maxLength: 80 },
  );

  test("is never exceeded in any day, month or in all, with any number of requests at once", ({ expect }) => {
    const limits = { ...NO_LIMITS, budgetDayNanoUsd: 100, budgetMonthNanoUsd: 250, budgetTotalNanoUsd: 400 };
    fc.assert(
      fc.property(steps, (list) => {
        let used = UNUSED;
        let nowMs = NEW_YEAR_MS - 2 * DAY_MS;
        const running: number[] = [];
        const spent = new Map<string, number>();
        for (const { kind, cost, part, waitMs } of list) {
          nowMs += waitMs;
          const heldNanoUsd = running.reduce((sum, held) => sum + held, 0);
          if (kind === "start") {
            const where = { ...scope(limits, used), tally: { open: running.length, heldNanoUsd, tokens: 0 } };
            const before = JSON.stringify(used);
            if (budgetHindrance([where], cost, nowMs) === null) running.push(cost);
            // A refusal consumes nothing, and neither does asking.
            expect(JSON.stringify(used)).toBe(before);
            continue;
          }
          const held = running.shift();
          if (held === undefined) continue;
          const charged = Math.floor(held * part);
          used = withSpending(used, charged, nowMs);
          for (const period of [`day ${dayOf(nowMs)}`, `month ${monthOf(nowMs)}`, "total"])
            spent.set(period, (spent.get(period) ?? 0) + charged);
        }
        for (const [period, nanoUsd] of spent)
          expect(nanoUsd).toBeLessThanOrEqual(
            period === "total" ? 400 : period.startsWith("day") ? 100 : 250,
          );
      }),
    );
  });

  test("gets back what is refunded in the day it was spent, and not in another", ({ expect }) => {
    const spent = withSpending(UNUSED, 50, NEW_YEAR_MS - 1);
    expect(withRefund(spent, 20, NEW_YEAR_MS - 1, NEW_YEAR_MS - 1)).toMatchObject({
      dayNanoUsd: 30,
      totalNanoUsd: 30,
    });
    const today = withSpending(spent, 5, NEW_YEAR_MS);
    expect(withRefund(today, 20, NEW_YEAR_MS - 1, NEW_YEAR_MS)).toMatchObject({
      dayNanoUsd: 5,
      monthNanoUsd: 5,
      totalNanoUsd: 35,
    });
  });

  test("adds up the same whatever the order of charges and refunds of one moment", ({ expect }) => {
    const changes = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(changes, changes, (charges, refunds) => {
        const all = charges.reduce((sum, nanoUsd) => sum + nanoUsd, 0);
        let left = all;
        const fair = refunds.map((nanoUsd) => {
          const part = Math.min(left, nanoUsd);
          left -= part;
          return part;
        });
        const charged = (order: readonly number[]): Used =>
          order.reduce((used, nanoUsd) => withSpending(used, nanoUsd, NEW_YEAR_MS), UNUSED);
        const refunded = (start: Used, order: readonly number[]): Used =>
          order.reduce((used, nanoUsd) => withRefund(used, nanoUsd, NEW_YEAR_MS, NEW_YEAR_MS), start);
        const one = refunded(charged(charges), fair);
        const other = refunded(charged(charges.toReversed()), fair.toReversed());
        expect(one).toEqual(other);
        expect(one.totalNanoUsd).toBe(left);
      }),
    );
  });
});
