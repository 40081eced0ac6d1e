/**
 * From many short measurements to one table: medians over the rounds, then the ratios the aims are about. Pure. The
 * shape of `EdgeResult` is what later runs are compared by: it only grows.
 */
import type { Measured } from "./measure.ts";
import { median, rounded } from "./stats.ts";

export type Figures = {
  readonly rps?: number | null;
  readonly p50Ms?: number | null;
  readonly p99Ms?: number | null;
  readonly firstEventMs?: number | null;
  readonly gapP50Ms?: number | null;
  readonly gapP99Ms?: number | null;
  readonly lateP99Ms?: number | null;
  readonly cpuUs?: number | null;
  readonly cpuUsPerEvent?: number | null;
};

/** By target. */
export type Row = Readonly<Record<string, Figures>>;
/** By cell id, then by target: what every round measured. */
export type Rounds = ReadonlyMap<string, ReadonlyMap<string, readonly Measured[]>>;

export type EdgeResult = {
  readonly json: Readonly<Record<string, Row>>;
  readonly stream: Readonly<Record<string, Row>>;
  /** A hundred slow streams at once. */
  readonly crowd: Row;
  /** The burst at c16, cut into chunks the other way round: gathered for the others, one per event for Sluice. */
  readonly swapped: Row;
  /** By load, then by layer: Sluice's answers out of its cache, and its refusals. */
  readonly cached: Readonly<Record<string, Row>>;
  readonly ratios: Readonly<Record<string, number | null>>;
  readonly settled: {
    readonly requests: number;
    readonly backlog: number | null;
    readonly settleMs: number | null;
  };
  /** Far homes, stubbed admission, a real gpu-node: Sluice alone. */
  readonly extra: Readonly<Record<string, Readonly<Record<string, Figures>>>>;
  readonly missing: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string | number | readonly number[]>>;
};

type Pick = (measured: Measured) => number;

function over(all: readonly Measured[] | undefined, pick: Pick): number | null {
  return all === undefined ? null : rounded(median(all.map(pick)));
}

export function jsonFigures(all: readonly Measured[]): Figures {
  return {
    rps: over(all, ({ perS }) => perS),
    p50Ms: over(all, ({ latencyMs }) => latencyMs.p50),
    p99Ms: over(all, ({ latencyMs }) => latencyMs.p99),
    cpuUs: over(all, ({ cpuUsPerRequest }) => cpuUsPerRequest),
  };
}

/** Rate and CPU are of bursts, times of paced streams: each where it says something. */
export function streamFigures(
  burst: readonly Measured[] | undefined,
  paced: readonly Measured[] | undefined,
): Figures {
  return {
    rps: over(burst, ({ perS }) => perS),
    p50Ms: over(burst, ({ latencyMs }) => latencyMs.p50),
    p99Ms: over(burst, ({ latencyMs }) => latencyMs.p99),
    cpuUs: over(burst, ({ cpuUsPerRequest }) => cpuUsPerRequest),
    ...pacedFigures(paced),
  };
}

export function pacedFigures(paced: readonly Measured[] | undefined): Figures {
  return {
    firstEventMs: over(paced, ({ firstEventMs }) => firstEventMs.p50),
    gapP50Ms: over(paced, ({ gapMs }) => gapMs.p50),
    gapP99Ms: over(paced, ({ gapMs }) => gapMs.p99),
    lateP99Ms: over(paced, ({ lateMs }) => lateMs.p99),
    cpuUsPerEvent: over(paced, ({ cpuUsPerEvent }) => cpuUsPerEvent),
  };
}

export function rowOf(targets: readonly string[], figures: (target: string) => Figures): Row {
  return Object.fromEntries(targets.map((target) => [target, figures(target)]));
}

function quotient(a: number | null | undefined, b: number | null | undefined): number | null {
  return a === null || a === undefined || b === null || b === undefined || b === 0 ? null : rounded(a / b);
}

function added(a: number | null | undefined, b: number | null | undefined): number | null {
  return a === null || a === undefined || b === null || b === undefined ? null : rounded(a - b);
}

export function ratiosOf(
  json: Readonly<Record<string, Row>>,
  stream: Readonly<Record<string, Row>>,
  cached: Readonly<Record<string, Row>>,
): Readonly<Record<string, number | null>> {
  const at = (table: Readonly<Record<string, Row>>, cell: string, target: string): Figures =>
    table[cell]?.[target] ?? {};
  const json1 = (target: string): Figures => at(json, "c1", target);
  const json16 = (target: string): Figures => at(json, "c16", target);
  const stream1 = (target: string): Figures => at(stream, "c1", target);
  const stream16 = (target: string): Figures => at(stream, "c16", target);
  const firstAdded = (target: string): number | null =>
    added(stream1(target).firstEventMs, stream1("direct").firstEventMs);
  const hitOverRefused = (cell: string): number | null => {
    const direct = at(json, cell, "direct").p50Ms;
    const [hit, refused] = ["memory", "refused"].map((row) => added(at(cached, cell, row).p50Ms, direct));
    return quotient(hit, refused);
  };
  return {
    jsonC16OverPortkey: quotient(json16("sluice").rps, json16("portkey").rps),
    jsonC16OverBare: quotient(json16("sluice").rps, json16("bare").rps),
    streamsC16OverPortkey: quotient(stream16("sluice").rps, stream16("portkey").rps),
    streamsC16OverBare: quotient(stream16("sluice").rps, stream16("bare").rps),
    streamsC1OverPortkey: quotient(stream1("sluice").rps, stream1("portkey").rps),
    streamsC1OverBare: quotient(stream1("sluice").rps, stream1("bare").rps),
    jsonC16CpuOverPortkey: quotient(json16("sluice").cpuUs, json16("portkey").cpuUs),
    jsonC16CpuOverBare: quotient(json16("sluice").cpuUs, json16("bare").cpuUs),
    streamsC16CpuOverPortkey: quotient(stream16("sluice").cpuUs, stream16("portkey").cpuUs),
    streamsC16CpuOverBare: quotient(stream16("sluice").cpuUs, stream16("bare").cpuUs),
    jsonC1AddedP50Ms: added(json1("sluice").p50Ms, json1("direct").p50Ms),
    firstEventC1AddedMs: firstAdded("sluice"),
    firstEventC1AddedOverPortkey: quotient(firstAdded("sluice"), firstAdded("portkey")),
    gapP99C1OverDirectMs: added(stream1("sluice").gapP99Ms, stream1("direct").gapP99Ms),
    hitC1AddedOverRefused: hitOverRefused("c1"),
    hitC16AddedOverRefused: hitOverRefused("c16"),
  };
}
