/** The two that are measured, as processes: a gpu-node standing alone, and llama.cpp's own server. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { BenchModel } from "./model.ts";

export const MODEL_ID = "bench";
export const SLOTS = 32;
const READY_WITHIN_MS = 120_000;
const POLL_MS = 50;
const LOG_CHARS_MAX = 4_096;

export type Server = { readonly url: string; readonly pid: number; stop(): Promise<void> };

export type PeerThreads = { readonly decode: number; readonly batch: number };

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

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
    stop: async () => {
      if (child.exitCode !== null) return;
      child.kill("SIGTERM");
      const killer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await once(child, "exit");
      clearTimeout(killer);
    },
  };
}

export async function startSluice(root: string, model: BenchModel): Promise<Server> {
  const port = await freePort();
  const args = [
    join(root, "gpu-node/src/main.ts"),
    "--insecure-standalone",
    ...["--port", String(port), "--model", model.path, "--as", MODEL_ID],
    ...["--slots", String(SLOTS), "--context", String(model.contextTokens), "--queue-max", "64"],
  ];
  return start(process.execPath, args, `http://127.0.0.1:${port}`);
}

export async function startPeer(binary: string, model: BenchModel, threads: PeerThreads): Promise<Server> {
  const port = await freePort();
  const args = [
    ...["--host", "127.0.0.1", "--port", String(port), "-m", model.path, "-a", MODEL_ID],
    ...["-np", String(SLOTS), "-c", String(SLOTS * model.contextTokens)],
    ...["-t", String(threads.decode), "-tb", String(threads.batch)],
    ...["--jinja", "--metrics", "--no-webui", "--no-repack"],
  ];
  return start(binary, args, `http://127.0.0.1:${port}`);
}
