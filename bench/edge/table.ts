/** The result as a table for people. Pure. */
import { aligned } from "../aligned.ts";
import { AIMS } from "./aims.ts";
import type { EdgeResult, Figures, Row } from "./result.ts";

const COLUMNS: readonly (readonly [keyof Figures, string])[] = [
  ["rps", "per s"],
  ["p50Ms", "p50 ms"],
  ["p99Ms", "p99 ms"],
  ["cpuUs", "cpu µs"],
  ["firstEventMs", "first ms"],
  ["gapP50Ms", "gap p50"],
  ["gapP99Ms", "gap p99"],
  ["lateP99Ms", "late p99"],
  ["cpuUsPerEvent", "µs/event"],
];

function text(value: number | null | undefined): string {
  return value === null || value === undefined ? "-" : String(value);
}

function linesOf(title: string, row: Row): string[][] {
  return Object.entries(row).map(([target, figures], at) => [
    at === 0 ? title : "",
    target,
    ...COLUMNS.map(([name]) => text(figures[name])),
  ]);
}

export function printTable(result: EdgeResult): string {
  const head = ["", "", ...COLUMNS.map(([, label]) => label)];
  const rows = [
    head,
    ...Object.entries(result.json).flatMap(([cell, row]) => linesOf(`json ${cell}`, row)),
    ...Object.entries(result.stream).flatMap(([cell, row]) => linesOf(`stream ${cell}`, row)),
    ...linesOf("stream c16, chunks swapped", result.swapped),
    ...linesOf("crowd", result.crowd),
    ...Object.entries(result.cached).flatMap(([cell, row]) => linesOf(`cached ${cell}`, row)),
    ...Object.entries(result.extra).flatMap(([name, row]) => linesOf(name, row)),
  ];
  const aims = AIMS.map(({ ratio, says, met }) => {
    const value = result.ratios[ratio] ?? null;
    return [value === null ? "?" : met(value) ? "met" : "MISSED", says, text(value)];
  });
  const missing = Object.entries(result.missing).map(([name, why]) => `missing: ${name}: ${why}`);
  const { requests, backlog, settleMs } = result.settled;
  return [
    aligned(rows),
    "",
    aligned(aims),
    "",
    `settled: ${requests} requests, as many exact rows in D1; when a cell's load ended, ${text(backlog)} were not there yet (median), ${text(settleMs)} ms later none`,
    ...Object.entries(result.machine).map(([name, value]) => `${name}: ${String(value)}`),
    ...missing,
  ].join("\n");
}
