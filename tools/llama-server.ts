/**
 * llama.cpp's own server, built from the sources that the node-llama-cpp package carries: the very version that the
 * embedded engine links, so that benchmark and tests compare like with like. Built once, into the cache folder outside
 * the checkout, under a name that changes with the sources and the flags.
 *
 *   node tools/llama-server.ts            builds it where it is missing and prints its path
 *   node tools/llama-server.ts --cuda     the same with CUDA kernels (needs nvcc)
 *
 * Tests never build (it takes minutes): they ask `findLlamaServer` and say why they skip.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { cacheFolder } from "../gpu-node/src/weights/cache-folder.ts";

export interface LlamaServerBuild {
  readonly cuda: boolean;
}

/** What can be had without compiling, or why it cannot. */
export type Found = { readonly path: string } | { readonly missing: string };

const COMMON_FLAGS: readonly string[] = [
  "-DCMAKE_BUILD_TYPE=Release",
  "-DBUILD_SHARED_LIBS=OFF",
  "-DGGML_NATIVE=ON",
  "-DLLAMA_BUILD_TESTS=OFF",
  "-DLLAMA_BUILD_EXAMPLES=OFF",
  "-DLLAMA_BUILD_APP=OFF",
  "-DLLAMA_BUILD_UI=OFF",
  "-DLLAMA_USE_PREBUILT_UI=OFF",
  "-DLLAMA_OPENSSL=OFF",
];

const CPU: LlamaServerBuild = { cuda: false };

function flagsOf(build: LlamaServerBuild): readonly string[] {
  return build.cuda ? [...COMMON_FLAGS, "-DGGML_CUDA=ON"] : COMMON_FLAGS;
}

/** The folder of node-llama-cpp's sources: a git bundle and the name of its tag. */
function sources(): { readonly bundle: string; readonly tag: string } {
  const gpuNode = createRequire(join(import.meta.dirname, "..", "gpu-node", "package.json"));
  const folder = join(dirname(gpuNode.resolve("node-llama-cpp")), "..", "llama");
  const info: unknown = JSON.parse(readFileSync(join(folder, "llama.cpp.info.json"), "utf8"));
  const tag = typeof info === "object" && info !== null && "tag" in info ? info.tag : undefined;
  if (typeof tag !== "string") throw new Error("node-llama-cpp does not say which llama.cpp it carries");
  return { bundle: join(folder, "gitRelease.bundle"), tag };
}

function folderOf(build: LlamaServerBuild): string {
  const { tag } = sources();
  const digest = createHash("sha256")
    .update(JSON.stringify([tag, flagsOf(build)]))
    .digest("hex");
  return join(cacheFolder(), "llama-server", `${tag}-${digest.slice(0, 12)}`);
}

/** The built server in the cache; looks, and never builds. */
export function findLlamaServer(build: LlamaServerBuild = CPU): Found {
  const path = join(folderOf(build), "llama-server");
  if (existsSync(path)) return { path };
  return { missing: "llama-server is not built: `node tools/llama-server.ts` builds it (minutes, once)" };
}

function missingTool(build: LlamaServerBuild): string | undefined {
  for (const tool of ["git", "cmake", "c++", ...(build.cuda ? ["nvcc"] : [])]) {
    try {
      execFileSync(tool, ["--version"], { stdio: "ignore" });
    } catch {
      return `there is no ${tool} here to build llama-server with`;
    }
  }
  return undefined;
}

function command(file: string, args: readonly string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Its output goes to stderr: stdout is the path, for scripts.
    const child = spawn(file, args, { cwd, stdio: ["ignore", 2, 2] });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${file} ${args.join(" ")} ended with ${String(code)}`));
    });
  });
}

/**
 * The server from the cache, built first where it is missing. Two builders at once do no harm: each works in a folder
 * of its own and the finished file is moved into place.
 */
export async function buildLlamaServer(build: LlamaServerBuild = CPU): Promise<Found> {
  const found = findLlamaServer(build);
  if ("path" in found) return found;
  const missing = missingTool(build);
  if (missing !== undefined) return { missing };
  const target = folderOf(build);
  mkdirSync(target, { recursive: true });
  const work = mkdtempSync(join(target, "build-"));
  try {
    const { bundle } = sources();
    await command("git", ["clone", "--quiet", "-c", "advice.detachedHead=false", bundle, "source"], work);
    const source = join(work, "source");
    await command("cmake", ["-S", ".", "-B", "build", ...flagsOf(build)], source);
    const jobs = String(availableParallelism());
    await command("cmake", ["--build", "build", "--target", "llama-server", "--parallel", jobs], source);
    renameSync(join(source, "build", "bin", "llama-server"), join(target, "llama-server"));
    writeFileSync(
      join(target, "built.json"),
      `${JSON.stringify({ ...build, flags: flagsOf(build) }, null, 2)}\n`,
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return findLlamaServer(build);
}

if (import.meta.main) {
  const result = await buildLlamaServer({ cuda: process.argv.includes("--cuda") });
  if ("path" in result) {
    console.log(result.path);
  } else {
    console.error(`llama-server: ${result.missing}`);
    process.exitCode = 1;
  }
}
