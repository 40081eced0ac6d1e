/** The result as tables for people. Pure. */
import { POLICY_NAMES } from "./policies/all.ts";
import { printCell, type CellResult, type RouterResult } from "./run.ts";
import { verdictOf } from "./verdict.ts";

const DECISION_US_MAX = 150;

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function tableOf(cell: CellResult): string {
  const rows = POLICY_NAMES.map((name) => {
    const { hit, ttftP50Ms, ttftP95Ms, ttftP99Ms, goodput, maxOverMean } = cell.policies[name];
    return [
      `  ${name}`,
      percent(hit),
      duration(ttftP50Ms),
      duration(ttftP95Ms),
      duration(ttftP99Ms),
      percent(goodput),
      maxOverMean.toFixed(2),
    ];
  });
  const { goodput, ttftP99 } = verdictOf(cell);
  const missed = [goodput ? "" : "goodput", ttftP99 ? "" : "TTFT p99"].filter((aim) => aim !== "").join(", ");
  const head = ["", "hit", "TTFT p50", "p95", "p99", "goodput", "max/mean"];
  return `${printCell(cell)}${missed === "" ? "" : `   MISSED: ${missed}`}\n${aligned([head, ...rows])}`;
}

export function printRouterTable({ cells, decisionUs }: RouterResult): string {
  const count = (of: readonly CellResult[], aim: "goodput" | "ttftP99"): string =>
    `${of.filter((cell) => verdictOf(cell)[aim]).length} of ${of.length}`;
  const [reuse, none] = [cells.filter((cell) => cell.reuse), cells.filter((cell) => !cell.reuse)];
  return [
    ...cells.map(tableOf),
    [
      `with reuse: best goodput in ${count(reuse, "goodput")} cells, best TTFT p99 in ${count(reuse, "ttftP99")}`,
      `without: no worse than p2c in goodput in ${count(none, "goodput")} cells, in TTFT p99 in ${count(none, "ttftP99")}`,
      `a decision among 64 nodes: ${decisionUs} µs (${decisionUs <= DECISION_US_MAX ? "met" : "MISSED"}: at most ${DECISION_US_MAX} µs)`,
    ].join("\n"),
  ].join("\n\n");
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

function duration(ms: number): string {
  if (ms >= 86_400_000) return "never";
  return ms < 10_000 ? `${ms} ms` : `${Math.round(ms / 1_000)} s`;
}
