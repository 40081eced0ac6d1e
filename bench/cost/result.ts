/** What the bench says, for machines and for people. Pure. */
import { largest, termsOf, totalUsd, type Amounts, type Counts } from "./price.ts";
import { AS_OF, type Unit } from "./prices.ts";

export type Measured = {
  readonly requests: number;
  /** Of one request. */
  readonly amounts: Amounts;
  /** Of all of them, the platform's own rest included. */
  readonly counts: Counts;
};

type Kind = "answeredLow" | "answeredHigh" | "cachedHit" | "cacheableMiss" | "refused" | "garbageKey";

export type CostResult = {
  readonly answered: { readonly low: number; readonly high: number };
  readonly cachedHit: number;
  readonly cacheableMiss: number;
  readonly refused: number;
  readonly garbageKey: number;
  /** Rows written by one request: in the account's object (alarms and deletes included), and in D1. */
  readonly rows: Readonly<Record<Kind, { readonly object: number; readonly d1: number }>>;
  readonly amounts: Readonly<Record<Kind, Readonly<Record<string, number>>>>;
  readonly terms: Readonly<Record<Kind, Readonly<Record<string, number>>>>;
  /** What the platform costs with one node and no calls, in dollars a month. */
  readonly restUsdPerMonth: number;
  readonly aims: readonly {
    readonly what: string;
    readonly aim: number;
    readonly got: number;
    readonly met: boolean;
  }[];
  readonly pricesAsOf: string;
  readonly load: readonly number[];
};

const AIMS = { low: 11, high: 5, garbageKey: 0.5 } as const;
const SECONDS_PER_MONTH = 30 * 24 * 60 * 60;
const TERMS_SHOWN = 4;

export function resultOf(all: {
  readonly measured: Readonly<Record<Kind, Measured>>;
  readonly idlePerSecond: Amounts;
  readonly load: readonly number[];
}): CostResult {
  const { measured } = all;
  const each = <T>(of: (one: Measured) => T): Record<Kind, T> =>
    Object.fromEntries(Object.entries(measured).map(([kind, one]) => [kind, of(one)])) as Record<Kind, T>;
  const usd = each(({ amounts }) => round(totalUsd(termsOf(amounts))));
  const { answeredLow: low, answeredHigh: high, garbageKey } = usd;
  const aim = (what: string, aim: number, got: number) => ({ what, aim, got, met: got <= aim });
  return {
    answered: { low, high },
    cachedHit: usd.cachedHit,
    cacheableMiss: usd.cacheableMiss,
    refused: usd.refused,
    garbageKey,
    rows: each(({ amounts }) => ({
      object: round(amounts.objectRowsWritten),
      d1: round(amounts.d1RowsWritten),
    })),
    amounts: each(({ amounts }) => rounded(amounts)),
    terms: each(({ amounts }) => rounded(termsOf(amounts))),
    restUsdPerMonth: round((totalUsd(termsOf(all.idlePerSecond)) * SECONDS_PER_MONTH) / 1_000_000),
    aims: [
      aim("a million answered, 1/s", AIMS.low, low),
      aim("a million answered, 50/s", AIMS.high, high),
      aim("a million garbage keys", AIMS.garbageKey, garbageKey),
    ],
    pricesAsOf: AS_OF,
    load: all.load,
  };
}

export function printCost(result: CostResult): string {
  const kinds = Object.keys(result.terms) as Kind[];
  const units = Object.keys(result.terms.answeredLow) as Unit[];
  const head = ["dollars a million", ...kinds];
  const lines = units.map((unit) => [unit, ...kinds.map((kind) => dollars(result.terms[kind][unit] ?? 0))]);
  const sums = kinds.map((kind) =>
    dollars(Object.values(result.terms[kind]).reduce((sum, term) => sum + term, 0)),
  );
  const rows = kinds.map((kind) => `${result.rows[kind].object} + ${result.rows[kind].d1}`);
  const aims = result.aims.map(
    ({ what, aim, got, met }) => `${met ? "met   " : "MISSED"}  ${what}: <= $${aim}  $${got}`,
  );
  const next = (["answeredLow", "answeredHigh"] as const).map((kind) => {
    const terms = largest(result.terms[kind], TERMS_SHOWN);
    return `the next dollar, ${kind}: ${terms.map(([unit, usd]) => `${unit} $${dollars(usd)}`).join(", ")}`;
  });
  const rest = `at rest, one node: $${result.restUsdPerMonth} a month; prices as of ${result.pricesAsOf}; load ${result.load.join(" ")}`;
  return [
    aligned([head, ...lines, ["sum", ...sums], ["rows: object + D1", ...rows]]),
    "",
    ...aims,
    "",
    ...next,
    rest,
  ].join("\n");
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))),
    )
    .map((cells) => cells.join("  ").trimEnd())
    .join("\n");
}

function dollars(value: number): string {
  return value === 0 ? "-" : value.toFixed(2);
}

function round(value: number): number {
  return Number(value.toFixed(3));
}

function rounded(amounts: Amounts): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(amounts).map(([unit, amount]) => [unit, Number(amount.toFixed(4))]),
  );
}
