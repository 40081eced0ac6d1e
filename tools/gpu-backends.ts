/**
 * `npm run gpu-backends -- cuda|vulkan`: adds node-llama-cpp's GPU backends to this checkout.
 *
 * They weigh up to half a gigabyte and most machines here have no GPU, so package.json's `overrides` let npm skip them.
 * This puts the missing package beside the ones that are there, in the version that node-llama-cpp asks for, verified
 * by npm against the registry's checksum; package.json and the lockfile stay as they are. `npm ci` takes it away again:
 * then run this once more.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const BACKENDS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  "linux-x64": { cuda: ["linux-x64-cuda", "linux-x64-cuda-ext"], vulkan: ["linux-x64-vulkan"] },
  "win32-x64": { cuda: ["win-x64-cuda", "win-x64-cuda-ext"], vulkan: ["win-x64-vulkan"] },
};

const ROOT = resolve(import.meta.dirname, "..");

function fail(why: string): never {
  console.error(`gpu-backends: ${why}`);
  process.exit(1);
}

function add(name: string, version: string): void {
  const target = join(ROOT, "node_modules", ...name.split("/"));
  if (existsSync(join(target, "package.json"))) {
    const there: unknown = JSON.parse(readFileSync(join(target, "package.json"), "utf8"));
    if (
      typeof there === "object" &&
      there !== null &&
      "version" in there &&
      there.version === version &&
      "name" in there &&
      there.name === name
    ) {
      console.log(`${name} ${version} is there already`);
      return;
    }
  }
  console.log(`adding ${name} ${version}`);
  const scratch = mkdtempSync(join(tmpdir(), "sluice-backend-"));
  try {
    const npm = process.platform === "win32" ? "npm.cmd" : "npm";
    const args = ["install", "--prefix", scratch, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
    execFileSync(npm, [...args, `${name}@${version}`], { stdio: "inherit", cwd: scratch });
    rmSync(target, { recursive: true, force: true });
    cpSync(join(scratch, "node_modules", ...name.split("/")), target, { recursive: true });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const platform = `${process.platform}-${process.arch}`;
const kinds = BACKENDS[platform];
if (kinds === undefined)
  fail(`${platform} needs nothing: what node-llama-cpp has for it is installed already`);
const kind = process.argv[2] ?? "";
const names = kinds[kind];
if (names === undefined) fail(`say which: npm run gpu-backends -- ${Object.keys(kinds).join("|")}`);

const llamaPackage = join(
  dirname(createRequire(import.meta.url).resolve("node-llama-cpp")),
  "../package.json",
);
const { version } = JSON.parse(readFileSync(llamaPackage, "utf8")) as { version: string };
for (const name of names) add(`@node-llama-cpp/${name}`, version);
console.log(`done: the next start of a node uses ${kind} where the machine has it`);
