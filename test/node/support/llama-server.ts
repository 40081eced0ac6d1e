/** The real llama-server, where it has been built (tools/llama-server.ts): started, killed and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { repackFlags } from "../../../tools/llama-server.ts";
import { freePort } from "../../../tools/run/ports.ts";
import { WEIGHTS_PATH } from "../engines/weights-under-test.ts";

export type RunningServer = { readonly url: URL; kill(): void; stop(): Promise<void> };

/** A server that a service manager would bring back: after a kill it starts again at once. */
export async function runLlamaServer(
  binary: string,
  { slots, contextTokens, more = [] }: { slots: number; contextTokens: number; more?: readonly string[] },
): Promise<RunningServer> {
  const port = await freePort();
  const args = [
    "--host", "127.0.0.1", "--port", String(port), "--model", WEIGHTS_PATH, "--alias", "sluice-tiny",
    "--parallel", String(slots), "--ctx-size", String(slots * contextTokens), "--threads", "1",
    "--cache-ram", "0", "--metrics", "--no-webui", ...repackFlags(), ...more,
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
