/** From what was counted to what it costs. Pure. */
import { OBJECT_GB, USD_PER_MILLION, type Unit } from "./prices.ts";

/** What the counting Worker tells (bench/worker/counting.ts), and the CPU beside it. */
export type Counts = Readonly<Record<string, number>>;

export type Amounts = Readonly<Record<Unit, number>>;

const MS_PER_S = 1_000;

export function amountsOf(counts: Counts, cpuMs: number): Amounts {
  const of = (...names: string[]): number => names.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
  return {
    workerRequests: of("worker.calls", "worker.beats", "worker.consumers", "worker.crons"),
    workerCpuMs: cpuMs,
    objectRequests: of("account.requests", "region.requests"),
    objectGbS: (of("account.awakeMs", "region.awakeMs") / MS_PER_S) * OBJECT_GB,
    objectRowsRead: of("account.rowsRead", "region.rowsRead"),
    objectRowsWritten: of(
      "account.rowsWritten",
      "account.alarmsSet",
      "region.rowsWritten",
      "region.alarmsSet",
    ),
    d1RowsRead: of("d1.rowsRead"),
    d1RowsWritten: of("d1.rowsWritten"),
    kvReads: of("kv.reads"),
    kvWrites: of("kv.writes"),
    queueOperations: of("queue.operations"),
  };
}

/** Each amount less what the platform does anyway in the same time, per request. Never below nothing. */
export function perRequest(amounts: Amounts, idle: Amounts, requests: number): Amounts {
  return map(amounts, (amount, unit) => Math.max(0, amount - idle[unit]) / requests);
}

export function scaled(amounts: Amounts, by: number): Amounts {
  return map(amounts, (amount) => amount * by);
}

/** Dollars for a million of what the amounts are for, term by term. */
export function termsOf(amounts: Amounts): Amounts {
  return map(amounts, (amount, unit) => amount * USD_PER_MILLION[unit]);
}

export function totalUsd(terms: Amounts): number {
  return Object.values(terms).reduce((sum, term) => sum + term, 0);
}

/** The terms that matter most, largest first: where the next dollar is. */
export function largest(
  terms: Readonly<Record<string, number>>,
  count: number,
): readonly (readonly [string, number])[] {
  return Object.entries(terms)
    .sort((a, b) => b[1] - a[1])
    .slice(0, count);
}

function map(amounts: Amounts, change: (amount: number, unit: Unit) => number): Amounts {
  const entries = Object.entries(amounts) as [Unit, number][];
  return Object.fromEntries(entries.map(([unit, amount]) => [unit, change(amount, unit)])) as Amounts;
}
