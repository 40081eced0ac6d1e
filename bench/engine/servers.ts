/** The two that are measured, as processes: a gpu-node standing alone, and llama.cpp's own server. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { repackFlags } from "../../tools/llama-server.ts";
import { freePort } from "../../tools/run/ports.ts";
import type { BenchModel } from "./model.ts";

export const MODEL_ID = "bench";
const SLOTS = 32;
const READY_WITHIN_MS = 120_000;
const POLL_MS = 50;
const LOG_CHARS_MAX = 4_096;

export type Server = { readonly url: string; readonly pid: number; log(): string; stop(): Promise<void> };

export type PeerThreads = { readonly decode: number; readonly batch: number };

/** Where both compute. */
export type Device = "cpu" | "cuda";

/** More than any model has: all of them. */
const GPU_LAYERS_ALL = 999;

async function start(file: string, args: readonly string[], url: string): Promise<Server> {
  const child: ChildProcess = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => (log = (log + text).slice(-LOG_CHARS_MAX)));
  const untilMs = performance.now() + READY_WITHIN_MS;
  for (;;) {
    if (child.exitCode !== null || performance.now() > untilMs) {
      child.kill("SIGKILL");
      throw new Error(`${file} did not come up: ${log}`);
    }
    const ready = await fetch(new URL("/health", url)).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) break;
    await delay(POLL_MS);
  }
  return {
    url,
    pid: child.pid ?? 0,
    log: () => log,
    stop: async () => {
      if (child.exitCode !== null) return;
      child.kill("SIGTERM");
      const killer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await once(child, "exit");
      clearTimeout(killer);
    },
  };
}

const flags = (given: Readonly<Record<string, string | number>>): string[] =>
  Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]);

export async function startSluice(root: string, model: BenchModel, device: Device): Promise<Server> {
  const port = await freePort();
  const given = {
    port,
    model: model.path,
    as: MODEL_ID,
    slots: SLOTS,
    context: model.contextTokens,
    gpu: device,
  };
  const args = [
    join(root, "gpu-node/src/main.ts"),
    "--insecure-standalone",
    ...flags({ ...given, "queue-max": 2 * SLOTS }),
  ];
  return start(process.execPath, args, `http://127.0.0.1:${port}`);
}

export async function startPeer(
  binary: string,
  model: BenchModel,
  threads: PeerThreads,
  device: Device,
): Promise<Server> {
  const port = await freePort();
  const args = flags({
    host: "127.0.0.1",
    port,
    model: model.path,
    alias: MODEL_ID,
    parallel: SLOTS,
    "ctx-size": SLOTS * model.contextTokens,
    threads: threads.decode,
    "threads-batch": threads.batch,
    ...(device === "cuda" ? { "n-gpu-layers": GPU_LAYERS_ALL } : {}),
  });
  return start(
    binary,
    [...args, "--jinja", "--metrics", "--no-webui", ...(device === "cpu" ? repackFlags() : [])],
    `http://127.0.0.1:${port}`,
  );
}
