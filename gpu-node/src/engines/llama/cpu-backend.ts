/**
 * Which of llama.cpp's CPU builds computes. It takes the best one for the processor by itself, and on Intel's with AMX that
 * one aborts while it builds the graph of a DeepSeek-architecture model with quantised weights: the weights are put into
 * AMX's own memory layout, and one multiplication then finds nobody who can do it. There the next best build, without AMX,
 * is loaded beforehand. Nothing to do on other processors, or where a GPU computes.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Gpu } from "./messages.ts";

const PACKAGE = "@node-llama-cpp/linux-x64";
/** Of the package, those compiled for AMX. */
const AMX_BUILDS: ReadonlySet<string> = new Set(["libggml-cpu-sapphirerapids.so"]);

type Binary = { readonly loadBackends: (folder: string) => void };

/** Where one is installed, `auto` may take it; its binary must not meet this one in a process. */
const GPU_PACKAGES = ["@node-llama-cpp/linux-x64-cuda", "@node-llama-cpp/linux-x64-vulkan"];

/** Before the binding is loaded. */
export async function avoidAmx(gpu: Gpu): Promise<void> {
  if (process.platform !== "linux" || process.arch !== "x64" || !hasAmx()) return;
  if (gpu !== false && (gpu !== "auto" || GPU_PACKAGES.some(isInstalled))) return;
  const { getBinsDir } = (await import(PACKAGE)) as { getBinsDir: () => { binsDir: string } };
  const folder = join(getBinsDir().binsDir, "linux-x64");
  const builds = readdirSync(folder).filter(
    (name) => name.startsWith("libggml-cpu-") && !AMX_BUILDS.has(name),
  );
  const chosen = mkdtempSync(join(tmpdir(), "sluice-cpu-"));
  try {
    for (const name of builds) symlinkSync(join(folder, name), join(chosen, name));
    // The binding gets this very module, and finds that a CPU is there.
    (createRequire(import.meta.url)(join(folder, "llama-addon.node")) as Binary).loadBackends(chosen);
  } finally {
    rmSync(chosen, { recursive: true, force: true });
  }
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

function hasAmx(): boolean {
  try {
    return /^flags\s*:.*\bamx_int8\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return false;
  }
}
