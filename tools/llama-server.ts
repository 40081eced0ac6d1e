/**
 * llama.cpp's own server, built from the sources that the node-llama-cpp package carries: the very version that the
 * embedded engine links, so that benchmark and tests compare like with like. Built once, into the cache folder outside
 * the checkout, under a name that changes with the sources and the flags.
 *
 *   node tools/llama-server.ts            builds it where it is missing and prints its path
 *   node tools/llama-server.ts --cuda     one that computes on an NVIDIA GPU
 *
 * The CUDA one compiles no kernels: it loads the very library that node-llama-cpp ships and the embedded engine uses
 * (`npm run gpu-backends -- cuda` brings it), so that what differs between the two is the server and nothing else.
 *
 * Tests never build (it takes minutes): they ask `findLlamaServer` and say why they skip.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { cacheFolder } from "../gpu-node/src/weights/cache-folder.ts";

export interface LlamaServerBuild {
  readonly cuda: boolean;
}

/** What can be had without compiling, or why it cannot. */
export type Found = { readonly path: string } | { readonly missing: string };

const CPU_INFO = "/proc/cpuinfo";

/**
 * What it has to be started with where a CPU computes: with AMX it aborts on DeepSeek's attention, as the embedded engine
 * would (gpu-node/src/engines/llama/cpu-backend.ts).
 */
export function repackFlags(): readonly string[] {
  const hasAmx = existsSync(CPU_INFO) && /\bamx_int8\b/.test(readFileSync(CPU_INFO, "utf8"));
  return hasAmx ? ["--no-repack"] : [];
}

const COMMON_FLAGS: readonly string[] = [
  "-DLLAMA_BUILD_TESTS=OFF",
  "-DLLAMA_BUILD_EXAMPLES=OFF",
  "-DLLAMA_BUILD_APP=OFF",
  "-DLLAMA_BUILD_UI=OFF",
  "-DLLAMA_USE_PREBUILT_UI=OFF",
  "-DLLAMA_OPENSSL=OFF",
];

const CPU: LlamaServerBuild = { cuda: false };

const CPU_FLAGS: readonly string[] = ["-DBUILD_SHARED_LIBS=OFF", "-DGGML_NATIVE=ON"];

/** Backends come as libraries beside the server; theirs ask for a `libggml-base.so` without a version in its name. */
const CUDA_FLAGS: readonly string[] = [
  "-DBUILD_SHARED_LIBS=ON",
  "-DGGML_BACKEND_DL=ON",
  "-DGGML_NATIVE=OFF",
  "-DGGML_CPU=OFF",
  "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",
  "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",
];

function flagsOf(build: LlamaServerBuild): readonly string[] {
  return ["-DCMAKE_BUILD_TYPE=Release", ...(build.cuda ? CUDA_FLAGS : CPU_FLAGS), ...COMMON_FLAGS];
}

/** Of node-llama-cpp's CUDA package: the kernels, and the CPU's for what stays there. */
const BACKEND = /^libggml-(?:cuda|cpu-\w+)\.so$/;
const CUDA_PACKAGE = "@node-llama-cpp/linux-x64-cuda";

function cudaBackends(): string | undefined {
  const folder = join(import.meta.dirname, "..", "node_modules", CUDA_PACKAGE, "bins", "linux-x64-cuda");
  return existsSync(join(folder, "libggml-cuda.so")) ? folder : undefined;
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
  const how = `node tools/llama-server.ts${build.cuda ? " --cuda" : ""}`;
  return { missing: `llama-server is not built: \`${how}\` builds it (minutes, once)` };
}

function missingTool(build: LlamaServerBuild): string | undefined {
  if (build.cuda && cudaBackends() === undefined)
    return "its CUDA kernels are not installed: `npm run gpu-backends -- cuda` brings them (Linux, x64)";
  for (const tool of ["git", "cmake", "c++"]) {
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
    const bin = join(source, "build", "bin");
    for (const name of readdirSync(bin).filter((name) => name.endsWith(".so")))
      renameSync(join(bin, name), join(target, name));
    const backends = build.cuda ? cudaBackends() : undefined;
    if (backends !== undefined)
      for (const name of readdirSync(backends).filter((name) => BACKEND.test(name)))
        copyFileSync(join(backends, name), join(target, name));
    // The server last: where it is, it is whole.
    renameSync(join(bin, "llama-server"), join(target, "llama-server"));
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
