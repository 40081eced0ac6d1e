/**
 * Portkey's gateway in Node, with nothing switched on. It is installed on demand into bench/peers, from a lockfile of
 * its own: no part of the house depends on it, and a machine that cannot install it gets a table without that column.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../../../tools/run/ports.ts";
import { endAll, isAlive, until } from "../../../tools/run/processes.ts";
import type { Target } from "./target.ts";

const INSTALL_MS = 120_000;
const READY_MS = 20_000;
const GRACE_MS = 3_000;
const SERVER = "node_modules/@portkey-ai/gateway/build/start-server.js";

/** Throws, with the reason, where it cannot be had. */
export async function startPortkey(root: string, openaiPort: number): Promise<Target> {
  const folder = join(root, "bench/peers");
  if (!existsSync(join(folder, SERVER)))
    await promisify(execFile)("npm", ["ci", "--prefix", folder], { timeout: INSTALL_MS });
  const port = await freePort();
  const child = spawn(process.execPath, [SERVER, `--port=${port}`, "--headless"], {
    cwd: folder,
    stdio: "ignore",
    env: { ...process.env, NODE_ENV: "production" },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("it could not be started");
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const ready = await until(() => isAlive(pid) && answers(port), READY_MS);
  if (!ready) {
    kill();
    throw new Error("it did not answer after its start");
  }
  return {
    name: "portkey",
    port,
    headers: {
      authorization: "Bearer sk-bench",
      "x-portkey-provider": "openai",
      "x-portkey-custom-host": `http://127.0.0.1:${openaiPort}/v1`,
    },
    pid: () => pid,
    stop: async () => {
      process.off("exit", kill);
      await endAll([pid], GRACE_MS);
    },
  };
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    await response.body?.cancel();
    return true;
  } catch {
    return false;
  }
}
