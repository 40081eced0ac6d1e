/**
 * `npm run bench -- edge`: starts the upstream and every target, proves that each streams in time, then lets them take
 * turns, cell by cell and round by round, and takes medians. One target at a time is under load; Sluice's turn ends
 * only when its books are kept.
 */
import { cpus, loadavg } from "node:os";
import { createRequire } from "node:module";
import { measureCached } from "./cached.ts";
import { EVENTS_WHOLE, planOf, sceneOf, type Cell, type Plan } from "./cells.ts";
import { assertInTime, measure, type Loader, type Measured, type Tally } from "./measure.ts";
import { Helper, type FromUpstream, type LoadAsk, type LoadResult, type ToUpstream } from "./messages.ts";
import {
  jsonFigures,
  pacedFigures,
  ratiosOf,
  rowOf,
  streamFigures,
  type EdgeResult,
  type Figures,
  type Rounds,
} from "./result.ts";
import { median, rounded } from "./stats.ts";
import { startBare } from "./targets/bare.ts";
import { startPortkey } from "./targets/portkey.ts";
import { startSluice, type Sluice, type SluiceSettings } from "./targets/sluice.ts";
import type { Target } from "./targets/target.ts";

const FAR_MS = [50, 150] as const;

export type EdgeSettings = {
  readonly root: string;
  readonly quick: boolean;
  readonly say: (what: string) => void;
};

export type House = {
  readonly settings: EdgeSettings;
  readonly plan: Plan;
  readonly upstream: Helper<ToUpstream, FromUpstream>;
  readonly loader: Loader;
  readonly nodePort: number;
  readonly openaiPort: number;
};

export async function runEdge(settings: EdgeSettings): Promise<EdgeResult> {
  const upstream = new Helper<ToUpstream, FromUpstream>(new URL("upstream/main.ts", import.meta.url));
  const loader = new Helper<LoadAsk, LoadResult>(new URL("load/main.ts", import.meta.url));
  try {
    const { openaiPort = 0, nodePort = 0 } = await upstream.ask({ do: "ports" });
    return await runHouse({ settings, plan: planOf(settings.quick), upstream, loader, openaiPort, nodePort });
  } finally {
    loader.stop();
    upstream.stop();
  }
}

async function runHouse(house: House): Promise<EdgeResult> {
  const { settings, openaiPort } = house;
  const loadBefore = loadavg();
  const missing: Record<string, string> = {};
  const targets: Target[] = [directTarget(openaiPort)];
  const tallies = new Map<string, Tally>();
  let rounds: Rounds;
  let extra: EdgeResult["extra"] = {};
  let loadDuring: readonly number[] = [];
  try {
    settings.say("starting the targets");
    targets.push(await startBare(settings.root, openaiPort));
    await startPortkey(settings.root, openaiPort).then(
      (portkey) => targets.push(portkey),
      (error: unknown) => (missing["portkey"] = String(error)),
    );
    const sluice = await startSluice(sluiceSettings(house));
    targets.push(sluice);
    for (const target of targets) {
      tallies.set(target.name, { sent: 0, tokens: 0 });
      await warmUp(house, target, tallyOf(tallies, target));
    }
    rounds = await interleaved(house, targets, tallies);
    loadDuring = loadavg();
    settings.say("a real gpu-node");
    extra = { "gpu-node (script engine)": await gpuNodeRow(house, sluice) };
  } finally {
    for (const target of targets.toReversed()) await target.stop();
  }
  for (const [name, farHome] of farHomes()) {
    settings.say(name);
    extra = { ...extra, [name]: await extraRow(house, farHome) };
  }
  settings.say("answers out of the cache");
  const cached = await measureCached(house, sluiceSettings(house));
  const all = { targets: targets.map(({ name }) => name), rounds, extra, cached, missing, tallies };
  return resultOf(house, all, [loadBefore, loadDuring]);
}

function directTarget(port: number): Target {
  return { name: "direct", port, headers: {}, pid: () => undefined, stop: () => Promise.resolve() };
}

function sluiceSettings({ settings, upstream, nodePort }: House): SluiceSettings {
  return { root: settings.root, upstream, nodePort };
}

function tallyOf(tallies: ReadonlyMap<string, Tally>, { name }: Target): Tally {
  return tallies.get(name) ?? { sent: 0, tokens: 0 };
}

/** Also the proof that the target streams in time. */
async function warmUp({ plan, loader, settings }: House, target: Target, tally: Tally): Promise<void> {
  settings.say(`warming up ${target.name}`);
  for (const cell of plan.warmUp) await measure(loader, target, cell, { tally });
  const measured = await measure(loader, target, plan.inTime, { tally });
  assertInTime(target, measured, sceneOf(plan.inTime).gapMs ?? 0);
}

async function interleaved(
  { plan, loader, settings }: House,
  targets: readonly Target[],
  tallies: ReadonlyMap<string, Tally>,
): Promise<Rounds> {
  const rounds = new Map<string, Map<string, Measured[]>>();
  for (let round = 0; round < plan.rounds; round++) {
    for (const cell of plan.cells) {
      settings.say(`round ${round + 1} of ${plan.rounds}: ${cell.id}`);
      const byTarget = rounds.get(cell.id) ?? new Map<string, Measured[]>();
      rounds.set(cell.id, byTarget);
      for (const target of targets) {
        const measured = await measure(loader, target, cell, { tally: tallyOf(tallies, target) });
        // Every paced run is held to it, not only the first.
        if (cell.scene === "gap2" && cell.lanes === 1)
          assertInTime(target, measured, sceneOf(cell).gapMs ?? 0);
        byTarget.set(target.name, [...(byTarget.get(target.name) ?? []), measured]);
      }
    }
  }
  return rounds;
}

/** bench/worker/far-home.ts with its variables. */
function farHomeEntry({
  delayMs,
  stub,
}: {
  delayMs: number;
  stub: boolean;
}): NonNullable<SluiceSettings["entry"]> {
  const vars = {
    BENCH_ACCOUNT_DELAY_MS: String(delayMs),
    BENCH_ADMISSION: stub ? "stub" : "real",
  };
  return { main: "./bench/worker/far-home.ts", vars, books: !stub };
}

function farHomes(): readonly (readonly [string, { delayMs: number; stub: boolean }])[] {
  return [
    ...FAR_MS.map((delayMs) => [`home ${delayMs} ms away`, { delayMs, stub: false }] as const),
    ["admission stubbed", { delayMs: 0, stub: true }],
  ];
}

/** Figures by cell, of the few cells that say what a row costs. */
async function extraRow(
  house: House,
  farHome: { delayMs: number; stub: boolean },
): Promise<Readonly<Record<string, Figures>>> {
  const sluice = await startSluice({ ...sluiceSettings(house), entry: farHomeEntry(farHome) });
  const tally = { sent: 0, tokens: 0 };
  try {
    await warmUp(house, sluice, tally).catch((error: unknown) => {
      // A home this far away delays the first event by itself; only what comes after it must be in time.
      if (farHome.delayMs === 0) throw error;
    });
    const figures: Record<string, Figures> = {};
    for (const cell of house.plan.extra)
      figures[cell.id] = figuresOf(cell, await measure(house.loader, sluice, cell, { tally }));
    return figures;
  } finally {
    await sluice.stop();
  }
}

function figuresOf(cell: Cell, measured: Measured): Figures {
  if (cell.scene === "json") return jsonFigures([measured]);
  return sceneOf(cell).gapMs === 0 ? streamFigures([measured], undefined) : pacedFigures([measured]);
}

/** The same questions to a real node, whose script engine answers with as many tokens as fast as it can. */
async function gpuNodeRow(house: House, sluice: Sluice): Promise<Readonly<Record<string, Figures>>> {
  const { model } = await sluice.addGpuNode();
  const figures: Record<string, Figures> = {};
  // Its rows are other than the script's; the books have been proved for the main table.
  const { settled: _, unsettled: __, ...alone } = sluice;
  for (const cell of house.plan.extra) {
    const gapMs = sceneOf(cell).gapMs;
    const script = {
      tokens: EVENTS_WHOLE,
      ...(gapMs === undefined || gapMs === 0 ? {} : { everyMs: gapMs }),
    };
    const body = JSON.stringify({
      model,
      messages: [{ role: "user", content: JSON.stringify({ script }) }],
      max_tokens: 400,
      stream: gapMs !== undefined,
    });
    const tally = { sent: 0, tokens: 0 };
    figures[cell.id] = figuresOf(cell, await measure(house.loader, alone, cell, { tally, body }));
  }
  return figures;
}

function resultOf(
  house: House,
  all: {
    readonly targets: readonly string[];
    readonly rounds: Rounds;
    readonly extra: EdgeResult["extra"];
    readonly cached: EdgeResult["cached"];
    readonly missing: EdgeResult["missing"];
    readonly tallies: ReadonlyMap<string, Tally>;
  },
  [loadBefore, loadDuring]: readonly [readonly number[], readonly number[]],
): EdgeResult {
  const { rounds, targets } = all;
  const of = (cell: string, target: string): readonly Measured[] => rounds.get(cell)?.get(target) ?? [];
  const json = Object.fromEntries(
    [1, 16, 64].map((c) => [`c${c}`, rowOf(targets, (target) => jsonFigures(of(`json.c${c}`, target)))]),
  );
  const stream = Object.fromEntries(
    [1, 16].map((c) => [
      `c${c}`,
      rowOf(targets, (target) => streamFigures(of(`burst.c${c}`, target), of(`gap2.c${c}`, target))),
    ]),
  );
  const crowd = house.plan.cells.find(({ scene }) => scene === "gap20")?.id ?? "";
  const settled = [...rounds.values()].flatMap((byTarget) => byTarget.get("sluice") ?? []);
  return {
    json,
    stream,
    crowd: rowOf(targets, (target) => pacedFigures(of(crowd, target))),
    swapped: rowOf(targets, (target) => streamFigures(of("swapped.c16", target), undefined)),
    cached: all.cached,
    ratios: ratiosOf(json, stream, all.cached),
    settled: {
      requests: all.tallies.get("sluice")?.sent ?? 0,
      backlog: rounded(median(settled.map(({ unsettled }) => unsettled))),
      settleMs: rounded(median(settled.map(({ settleMs }) => settleMs))),
    },
    extra: all.extra,
    missing: all.missing,
    machine: {
      cores: cpus().length,
      cpu: cpus()[0]?.model ?? "",
      node: process.version,
      workerd: versionOf(house.settings.root, "workerd"),
      portkey: all.missing["portkey"] === undefined ? versionOf(house.settings.root, "portkey") : "missing",
      loadBefore: loadBefore.map((load) => Number(load.toFixed(2))),
      loadDuring: loadDuring.map((load) => Number(load.toFixed(2))),
    },
  };
}

function versionOf(root: string, name: "workerd" | "portkey"): string {
  const require = createRequire(`${root}/package.json`);
  const path =
    name === "workerd"
      ? require.resolve("workerd/package.json")
      : `${root}/bench/peers/node_modules/@portkey-ai/gateway/package.json`;
  return (require(path) as { version: string }).version;
}
