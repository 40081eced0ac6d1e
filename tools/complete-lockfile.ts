/**
 * `npm run lockfile`: brings package-lock.json up to date and makes it whole for every platform.
 *
 * npm leaves an optional package out of the lockfile when the registry at hand does not have it, and then `npm ci`
 * refuses the lockfile for lacking it. A mirror rarely carries the binaries of platforms nobody there uses. So what is
 * missing is written in from what its dependents ask for: exact version, and os and cpu as its name says them. It has no
 * checksum, being for a platform that this one is not; npm skips it here by its os and cpu.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

type Entry = {
  name?: string;
  version?: string;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optional?: boolean;
  optionalDependencies?: Record<string, string>;
};
type Lockfile = { packages: Record<string, Entry> };
type Manifest = { overrides?: Record<string, Record<string, string>> };

const OS: Readonly<Record<string, string>> = {
  darwin: "darwin",
  mac: "darwin",
  win32: "win32",
  win: "win32",
  windows: "win32",
};
const CPU: Readonly<Record<string, string>> = {
  "64": "x64",
  x64: "x64",
  arm64: "arm64",
  ia32: "ia32",
  arm: "arm",
};
const SAME_OS = ["linux", "android", "freebsd", "openbsd", "netbsd", "openharmony", "aix", "sunos"];
const SAME_CPU = ["ppc64", "riscv64", "s390x", "loong64", "mips64el"];

/** Undefined where the name does not say for which platform it is: such a one is not ours to make up. */
function platformOf(name: string): Pick<Entry, "os" | "cpu" | "libc"> | undefined {
  const words = name.split(/[/-]/);
  const os = words.map((word) => OS[word] ?? (SAME_OS.includes(word) ? word : undefined)).find(Boolean);
  const cpu = words.map((word) => CPU[word] ?? (SAME_CPU.includes(word) ? word : undefined)).find(Boolean);
  if (os === undefined || cpu === undefined) return undefined;
  const libc = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.includes("gnu")
      ? "glibc"
      : undefined;
  return { os: [os], cpu: [cpu], ...(os === "linux" && libc !== undefined ? { libc: [libc] } : {}) };
}

/** Whether a package at `from` finds `name`, walking up the folders as Node does. */
function isFound(packages: Lockfile["packages"], from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, "")) {
    if (packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (!folder.includes("node_modules/")) return false;
  }
}

function dependentName(folder: string): string {
  return folder.split("node_modules/").at(-1) ?? "";
}

execFileSync(
  "npm",
  ["install", "--package-lock-only", "--ignore-scripts", "--omit-lockfile-registry-resolved"],
  {
    stdio: ["ignore", "ignore", "inherit"],
  },
);
const { overrides = {} } = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
const lockfile = JSON.parse(readFileSync("package-lock.json", "utf8")) as Lockfile;
let added = 0;
for (const [from, entry] of Object.entries(lockfile.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isFound(lockfile.packages, from, name)) continue;
    // An override may put another package in its place: "npm:<package>@<version>".
    const alias = /^npm:(.+)@([^@]+)$/.exec(overrides[dependentName(from)]?.[name] ?? "");
    const platform = platformOf(alias?.[1] ?? name);
    if (alias !== null && platform !== undefined) {
      lockfile.packages[`node_modules/${name}`] = {
        name: alias[1] ?? "",
        version: alias[2] ?? "",
        ...platform,
        optional: true,
      };
      added += 1;
      continue;
    }
    if (platform === undefined || !/^\d+\.\d+\.\d+\S*$/.test(version)) {
      console.log(`left out: ${name}@${version}, wanted by ${from || "the root"}`);
      continue;
    }
    lockfile.packages[`node_modules/${name}`] = { version, ...platform, optional: true };
    added += 1;
  }
}
lockfile.packages = Object.fromEntries(
  Object.entries(lockfile.packages).sort(([a], [b]) => (a < b ? -1 : 1)),
);
writeFileSync("package-lock.json", `${JSON.stringify(lockfile, null, 2)}\n`);
console.log(`${added} packages of other platforms written into package-lock.json`);
