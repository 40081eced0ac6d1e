/**
 * The embedded engine beside llama.cpp's own server: same weights, same machine, turn by turn. Every figure is the
 * median of the rounds. The peer runs with the thread setting at which it is faster here, found first, decoding and
 * prefill apart, as its two flags allow.
 */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg } from "node:os";
import { buildLlamaServer } from "../../tools/llama-server.ts";
import { Void } from "../edge/books.ts";
import { median } from "../edge/stats.ts";
import { abortFreeMs } from "./abort.ts";
import { benchModels, type BenchModel } from "./model.ts";
import type { Beside, EngineResult, ModelResult } from "./result.ts";
import { Scenes } from "./scenes.ts";
import { startPeer, startSluice, type Device, type PeerThreads, type Server } from "./servers.ts";

const ROUNDS = 3;
const STREAMS = [1, 8, 32] as const;

export type EngineOptions = {
  readonly root: string;
  readonly device: Device;
  readonly quick: boolean;
  readonly say: (what: string) => void;
};

export async function runEngine({ root, device, quick, say }: EngineOptions): Promise<EngineResult> {
  const found = await buildLlamaServer({ cuda: device === "cuda" });
  if (!("path" in found)) throw new Void(`there is nothing to compare with: ${found.missing}`);
  const loadBefore = loadavg().map((load) => load.toFixed(2));
  const results: { mid?: ModelResult; tiny?: ModelResult } = {};
  const threads: Record<string, string> = {};
  for (const model of benchModels(root)) {
    const best = await bestThreads(found.path, model, device, say);
    threads[`threads of llama-server, ${model.name}`] = `${best.decode} decoding, ${best.batch} for prompts`;
    results[model.name] = await measure({
      root,
      binary: found.path,
      model,
      device,
      best,
      rounds: quick ? 1 : ROUNDS,
      say,
    });
  }
  const { mid, tiny } = results;
  if (mid === undefined || tiny === undefined) throw new Error("a model is missing");
  return {
    mid,
    tiny,
    machine: {
      cores: availableParallelism(),
      cpu: cpus()[0]?.model ?? "?",
      gpu: device === "cuda" ? cardName() : "none",
      node: process.version,
      ...threads,
      loadBefore: loadBefore.join(","),
      loadAfter: loadavg()
        .map((load) => load.toFixed(2))
        .join(","),
    },
  };
}

/** Every number of threads up to the cores, doubling; decoding and prompts judged apart. */
async function bestThreads(
  binary: string,
  model: BenchModel,
  device: Device,
  say: EngineOptions["say"],
): Promise<PeerThreads> {
  const tried: { threads: number; decode: number; prefill: number }[] = [];
  for (let threads = 1; threads <= availableParallelism(); threads *= 2) {
    const server = await startPeer(binary, model, { decode: threads, batch: threads }, device);
    try {
      const scenes = new Scenes(model);
      await scenes.calibrate(server);
      const { tokensPerS } = await scenes.prefill(server);
      const decode = await scenes.decode(server, 8);
      tried.push({ threads, decode, prefill: tokensPerS });
      say(
        `llama-server, ${model.name}, ${threads} threads: decode ${Math.round(decode)}/s, prefill ${Math.round(tokensPerS)}/s`,
      );
    } finally {
      await server.stop();
    }
  }
  const best = (key: "decode" | "prefill"): number =>
    tried.toSorted((a, b) => b[key] - a[key])[0]?.threads ?? 1;
  return { decode: best("decode"), batch: best("prefill") };
}

type Measuring = {
  readonly root: string;
  readonly binary: string;
  readonly model: BenchModel;
  readonly device: Device;
  readonly best: PeerThreads;
  readonly rounds: number;
  readonly say: EngineOptions["say"];
};

async function measure({ root, binary, model, device, best, rounds, say }: Measuring): Promise<ModelResult> {
  const sluice = await startSluice(root, model, device);
  const peer = await startPeer(binary, model, best, device);
  const scenes = new Scenes(model);
  const values = new Map<string, number[]>();
  const note = (key: string, value: number): void => {
    values.set(key, [...(values.get(key) ?? []), value]);
  };
  const of = (key: string): number => median(values.get(key) ?? []);
  const beside = (key: string): Beside => {
    const [ours, theirs] = [of(`sluice ${key}`), of(`peer ${key}`)];
    return { sluice: ours, peer: theirs, ratio: ours / theirs };
  };
  say(`${model.name}: sluice begins with ${THREADS_LINE.exec(sluice.log())?.[0] ?? "?"}`);
  try {
    await scenes.calibrate(peer);
    await scenes.calibrate(sluice);
    for (let round = 0; round < rounds; round++) {
      // Who comes first takes turns too.
      const servers: readonly (readonly [string, Server])[] = [
        ["sluice", sluice],
        ["peer", peer],
      ];
      const inTurn = round % 2 === 0 ? servers : servers.toReversed();
      for (const streams of STREAMS) {
        for (const [name, server] of inTurn)
          note(`${name} decode ${streams}`, await scenes.decode(server, streams));
      }
      note("loop", await loopP99Ms(sluice));
      for (const [name, server] of inTurn) {
        const { tokensPerS, coldMs, warmMs } = await scenes.prefill(server);
        note(`${name} prefill`, tokensPerS);
        note(`${name} cold`, coldMs);
        note(`${name} warm`, warmMs);
        note(`${name} during`, await scenes.duringPrefill(server));
      }
      say(`${model.name}, round ${round + 1} of ${rounds}: ${summary(values)}`);
    }
  } finally {
    await sluice.stop();
    await peer.stop();
  }
  return {
    decode: { "1": beside("decode 1"), "8": beside("decode 8"), "32": beside("decode 32") },
    prefill: beside("prefill"),
    ttftMs: {
      cold: of("sluice cold"),
      warm: of("sluice warm"),
      peerCold: of("peer cold"),
      peerWarm: of("peer warm"),
      duringPrefill: of("sluice during"),
      peerDuringPrefill: of("peer during"),
    },
    abortFreeMs: median(await abortFreeMs(model, device)),
    loopP99Ms: of("loop"),
  };
}

function summary(values: ReadonlyMap<string, readonly number[]>): string {
  return [...values].map(([key, list]) => `${key} ${Math.round(list.at(-1) ?? 0)}`).join(", ");
}

/** As the driver says it, with the driver's own version. */
function cardName(): string {
  const asked = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
  return execFileSync("nvidia-smi", asked, { encoding: "utf8" }).trim();
}

const THREADS_LINE = /\d+ threads for prompts[^"]*/;
const LOOP_GAUGE = /^sluice_node_loop_delay_seconds\{quantile="0.99"\} ([\d.e+-]+)$/m;

/** The node's own measurement of its event loop, of the last seconds. */
async function loopP99Ms(server: Server): Promise<number> {
  const metrics = await (await fetch(new URL("/metrics", server.url))).text();
  const seconds = LOOP_GAUGE.exec(metrics)?.[1];
  if (seconds === undefined) throw new Error("the node does not say how its event loop is");
  return Number(seconds) * 1_000;
}
