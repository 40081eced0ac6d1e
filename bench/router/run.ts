/**
 * `npm run bench -- router`: every policy through every cell, from the same requests and the same dice. No network and
 * no clock but the one of the decision's own time: the same command prints the same figures on any machine.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { cellsOf, requestsOf, type Cell } from "./cells.ts";
import { decisionUs } from "./decision.ts";
import { figuresOf, type Figures } from "./figures.ts";
import { makeFleet, saturationPerS } from "./fleet.ts";
import { POLICIES, POLICY_NAMES, type PolicyName } from "./policies/all.ts";
import type { Workload } from "./request.ts";
import { atRate, readTrace } from "./trace.ts";
import { makeWorkload, SHAPES } from "./workloads.ts";
import { simulate } from "./world.ts";

const SEED = 7;
/** Rate and reuse depend on each other; this many rounds find both. */
const SATURATION_ROUNDS = 4;
const FIRST_GUESS_PER_S = 5;
const DEATHS = [0.4, 0.6, 0.8];

export type CellResult = Cell & {
  readonly reuse: boolean;
  readonly policies: { readonly [Name in PolicyName]: Figures };
};

export type RouterResult = {
  readonly cells: readonly CellResult[];
  readonly decisionUs: number;
};

export type RouterSettings = {
  readonly quick: boolean;
  /** A file in Mooncake's format, in place of the synthetic workloads. */
  readonly trace: string | undefined;
  readonly say: (what: string) => void;
};

/** A workload at a rate, of about so many requests. */
type Source = (count: number, perS: number) => Workload;

export function runRouter({ quick, trace, say }: RouterSettings): RouterResult {
  const sources = trace === undefined ? synthetic() : traced(trace);
  const saturations = new Map<string, number>();
  const cells = cellsOf([...sources.keys()], quick).map((cell): CellResult => {
    const source = sources.get(cell.workload);
    if (source === undefined) throw new Error(`no such workload: ${cell.workload}`);
    const count = requestsOf(cell, quick);
    const sized = `${cell.workload}/${cell.nodes}`;
    const perS = saturations.get(sized) ?? findSaturation(source, cell.nodes, count);
    saturations.set(sized, perS);
    say(printCell(cell));
    const workload = source(count, perS * cell.load);
    return { ...cell, reuse: workload.reuse, policies: play(cell, workload) };
  });
  say("the decision's own time");
  return { cells, decisionUs: decisionUs() };
}

function synthetic(): Map<string, Source> {
  return new Map(
    SHAPES.map((shape) => [
      shape.name,
      (count: number, perS: number) => makeWorkload(shape, count, perS, SEED),
    ]),
  );
}

function traced(file: string): Map<string, Source> {
  const name = basename(file);
  const whole = readTrace(name, readFileSync(file, "utf8"));
  return new Map([[name, (_: number, perS: number) => atRate(whole, perS)]]);
}

function findSaturation(source: Source, nodes: number, count: number): number {
  const fleet = makeFleet(nodes);
  let perS = FIRST_GUESS_PER_S;
  for (let round = 0; round < SATURATION_ROUNDS; round++)
    perS = saturationPerS(fleet, source(count, perS).requests);
  return perS;
}

function play(cell: Cell, { requests }: Workload): CellResult["policies"] {
  const scene = {
    requests,
    nodes: cell.nodes,
    edges: cell.edges,
    telemetryAgeMs: cell.telemetryAgeS * 1_000,
    deaths: cell.deaths ? DEATHS : [],
    seed: SEED,
  };
  return Object.fromEntries(
    POLICY_NAMES.map((name) => [name, figuresOf(simulate(scene, POLICIES[name]))]),
  ) as CellResult["policies"];
}

export function printCell({ workload, nodes, load, telemetryAgeS, edges, deaths }: Cell): string {
  return `${workload}, load ${load}, ${nodes} nodes, ${edges} edges, telemetry +${telemetryAgeS} s${deaths ? ", nodes die" : ""}`;
}
