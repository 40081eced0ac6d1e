/**
 * Somebody else's API for a test: a gpu-node alone, which then is a plain OpenAI server that knows nothing of edges. A process of
 * its own, so that it can be killed.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../tools/run/ports.ts";
import { eventually } from "./stack.ts";

export type ForeignServer = AsyncDisposable & {
  /** As OpenAI's SDKs take it. */
  readonly baseUrl: string;
  readonly model: string;
  readonly kill: () => Promise<void>;
};

const READY_MS = 30_000;

export async function startForeignServer(engine: "script" | "llama" = "script"): Promise<ForeignServer> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "sluice-upstream-"));
  const args = ["--insecure-standalone", "--engine", engine, "--port", String(port), "--data", folder];
  const child = spawn(process.execPath, ["gpu-node/src/main.ts", ...args, "--as", "their-model"], {
    stdio: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  await eventually("the foreign server to serve", READY_MS, async () => {
    const response = await fetch(`${url}/v1/models`).catch(() => undefined);
    return response?.ok === true ? true : undefined;
  });
  return {
    baseUrl: `${url}/v1`,
    model: "their-model",
    kill,
    async [Symbol.asyncDispose]() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
