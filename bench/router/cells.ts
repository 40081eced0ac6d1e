/** What is played: workloads, loads, ages of telemetry, numbers of edges and nodes, deaths. Pure. */
import { SHAPES } from "./workloads.ts";

export type Cell = {
  readonly workload: string;
  readonly nodes: number;
  /** Of the rate at which the fleet is just busy. */
  readonly load: number;
  /** Beside the second between beats. */
  readonly telemetryAgeS: number;
  readonly edges: number;
  readonly deaths: boolean;
};

const USUAL = { nodes: 8, load: 0.7, telemetryAgeS: 1, edges: 16, deaths: false } as const;
const LOADS = [0.3, 0.5, 0.7, 0.9, 1.1];
/** One that reuses much, one that reuses little, one that reuses nothing: for these the rest is varied, too. */
const VARIED = ["conversation", "chat", "azure-conv"];

export function cellsOf(names: readonly string[], quick: boolean): readonly Cell[] {
  const byLoad = names.flatMap((workload) =>
    (quick ? [USUAL.load] : LOADS).map((load) => ({ ...USUAL, workload, load })),
  );
  if (quick) return byLoad;
  const varied = names
    .filter((name) => VARIED.includes(name) || names.length < SHAPES.length)
    .flatMap((workload) => [
      ...[0, 5, 30].map((telemetryAgeS) => ({ ...USUAL, workload, telemetryAgeS })),
      ...[1, 128].map((edges) => ({ ...USUAL, workload, edges })),
      { ...USUAL, workload, nodes: 32, edges: 64 },
      { ...USUAL, workload, deaths: true },
    ]);
  return [...byLoad, ...varied];
}

/** A request for every so many nodes: a run lasts a few minutes of simulated time at any size. */
export function requestsOf({ nodes }: Pick<Cell, "nodes">, quick: boolean): number {
  return (quick ? 80 : 400) * nodes;
}
