/** The pass-through Worker (bench/worker/bare.ts) in a workerd of its own, run as Sluice's is. */
import { build } from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { childrenOf, programOf } from "../../../tools/run/processes.ts";
import { freePort } from "../../../tools/run/ports.ts";
import { STRAIGHT_FETCH_SOURCE, straightNetwork, workerdEnvironment } from "../../../tools/run/workerd.ts";
import type { Target } from "./target.ts";

export async function startBare(root: string, openaiPort: number): Promise<Target> {
  const built = await build({
    stdin: {
      contents: `${STRAIGHT_FETCH_SOURCE} export { default } from "./bench/worker/bare.ts";`,
      resolveDir: root,
    },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "silent",
  });
  const port = await freePort();
  const before = new Set(childrenOf(process.pid));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      name: "bare",
      modules: [{ type: "ESModule", path: "bare.js", contents: built.outputFiles[0]?.text ?? "" }],
      compatibilityDate: "2026-10-15",
      compatibilityFlags: ["nodejs_compat", "enable_request_signal"],
      serviceBindings: straightNetwork,
      bindings: { UPSTREAM: `http://127.0.0.1:${openaiPort}` },
      unsafeDirectSockets: [{ host: "127.0.0.1", port }],
      cf: false,
      unsafeRuntimeEnv: workerdEnvironment,
      log: new Log(LogLevel.ERROR),
    }),
  );
  await miniflare.ready;
  const pid = childrenOf(process.pid).find((pid) => !before.has(pid) && programOf(pid) === "workerd");
  return { name: "bare", port, headers: {}, pid: () => pid, stop: () => miniflare.dispose() };
}
