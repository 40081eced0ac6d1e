/** The real llama-server, where it has been built (tools/llama-server.ts): started, killed and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { WEIGHTS_PATH } from "../engines/weights-under-test.ts";

export type RunningServer = { readonly url: URL; kill(): void; stop(): Promise<void> };

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** A server that a service manager would bring back: after a kill it starts again at once. */
export async function runLlamaServer(
  binary: string,
  { slots, contextTokens, more = [] }: { slots: number; contextTokens: number; more?: readonly string[] },
): Promise<RunningServer> {
  const port = await freePort();
  // As engines/llama/cpu-backend.ts: it aborts on such weights.
  const hasAmx = existsSync("/proc/cpuinfo") && readFileSync("/proc/cpuinfo", "utf8").includes("amx_int8");
  const args = [
    "--host", "127.0.0.1", "--port", String(port), "--model", WEIGHTS_PATH, "--alias", "sluice-tiny",
    "--parallel", String(slots), "--ctx-size", String(slots * contextTokens), "--threads", "1",
    "--cache-ram", "0", "--metrics", "--no-webui", ...(hasAmx ? ["--no-repack"] : []), ...more,
  ]; // prettier-ignore
  let child: ChildProcess | undefined;
  let stopping = false;
  const start = (): void => {
    child = spawn(binary, args, { stdio: "ignore" });
    child.once("exit", () => {
      if (!stopping) start();
    });
  };
  start();
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    kill: () => void child?.kill("SIGKILL"),
    stop: async () => {
      stopping = true;
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
