/**
 * The repository as the tidy test sees it: every source file with its text, its code lines and what it imports.
 * Reads with regular expressions, not a compiler: imports here are always at the start of a line and always name a file
 * with its extension (the compiler sees to both), so nothing more is needed.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join, normalize } from "node:path";

const ROOTS = [
  "src",
  "protocol",
  "gpu-node",
  "tools",
  "test",
  "bench",
  "chaos",
  "web",
  "docs",
  "migrations",
  ".ci",
];
const SKIPPED = new Set([".git", "node_modules", ".sluice", ".wrangler", "__pycache__"]);
const TEXT = new Set([
  ".ts",
  ".py",
  ".js",
  ".css",
  ".html",
  ".md",
  ".json",
  ".toml",
  ".sh",
  ".sql",
  ".yml",
  ".service",
  "",
]);

export type SourceFile = {
  /** From the root of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
};

export type Import = {
  /** As it is written. */
  readonly specifier: string;
  /** The file it means, where that is one of ours. */
  readonly path: string | undefined;
};

function walk(folder: string, found: SourceFile[]): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) walk(path, found);
    } else if (entry.isFile() && TEXT.has(extname(entry.name))) {
      found.push({ path, text: readFileSync(path, "utf8") });
    }
  }
}

/** Every text file of the house, the loose ones in the root included. */
export function readHouse(): readonly SourceFile[] {
  const found: SourceFile[] = [];
  const root = readdirSync(".", { withFileTypes: true });
  for (const entry of root) {
    if (entry.isDirectory() && ROOTS.includes(entry.name)) walk(entry.name, found);
    else if (
      entry.isFile() &&
      TEXT.has(extname(entry.name)) &&
      !SKIPPED.has(entry.name) &&
      entry.name !== "package-lock.json"
    )
      found.push({ path: entry.name, text: readFileSync(entry.name, "utf8") });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function isModule(file: SourceFile): boolean {
  return /\.(ts|py|js)$/.test(file.path);
}

/** What stands before the first statement, comments only; empty where a module begins with code. */
export function headerOf(file: SourceFile): string {
  const text = file.text.replace(/^#!.*\n/, "").trimStart();
  const pattern = file.path.endsWith(".py") ? /^(?:"""[^]*?"""|(?:#.*\n)+)/ : /^\/\*\*[^]*?\*\//;
  return pattern.exec(text)?.[0] ?? "";
}

/** Lines that are neither blank nor comment. */
export function codeLines(file: SourceFile): number {
  const text = file.path.endsWith(".py")
    ? file.text.replaceAll(/"""[^]*?"""/g, "").replaceAll(/^\s*#.*$/gm, "")
    : file.text.replaceAll(/^\s*\/\*[^]*?\*\/\s*$/gm, "").replaceAll(/^\s*\/\/.*$/gm, "");
  return text.split("\n").filter((line) => line.trim() !== "").length;
}

/** The text without comments, so that a word in prose is not taken for a call. */
export function codeOf(file: SourceFile): string {
  return file.text.replaceAll(/\/\*[^]*?\*\//g, "").replaceAll(/(^|[\s;{])\/\/.*$/gm, "$1");
}

export function importsOf(file: SourceFile): readonly Import[] {
  if (!/\.(ts|js)$/.test(file.path)) return [];
  const specifiers = [
    ...file.text.matchAll(/^(?:import|export)\b[^"'`;]*?from\s+"([^"]+)"/gm),
    ...file.text.matchAll(/^import\s+"([^"]+)"/gm),
    ...codeOf(file).matchAll(/\bimport\("([^"]+)"\)/g),
  ].map((match) => match[1] ?? "");
  return specifiers.map((specifier) => ({ specifier, path: resolveImport(file.path, specifier) }));
}

/** Names that other files take from this one by `{ name }`, as `path#name`; `path#*` where one takes all of it. */
export function namesTaken(file: SourceFile): readonly string[] {
  if (!/\.(ts|js)$/.test(file.path)) return [];
  const listed = [...file.text.matchAll(/^(?:import|export)\b([^"'`;]*?)from\s+"([^"]+)"/gm)].flatMap(
    ([, names = "", specifier = ""]) =>
      names
        .replaceAll(/[{}]/g, ",")
        .split(",")
        .map((name) => /^(?:type\s+)?([\w*]+)/.exec(name.trim().replace(/^type$/, ""))?.[1])
        .filter((name) => name !== undefined)
        .map((name) => `${resolveImport(file.path, specifier)}#${name === "type" ? "*" : name}`),
  );
  const whole = [...codeOf(file).matchAll(/\bimport\("([^"]+)"\)/g)].map(
    ([, specifier = ""]) => `${resolveImport(file.path, specifier)}#*`,
  );
  return [...listed, ...whole];
}

/** Values, not types: a type that is only named in a signature is exported for whoever wants to hold one. */
export function valuesExported(file: SourceFile): readonly string[] {
  const found = file.text.matchAll(/^export (?:async )?(?:function\*?|const|class|let)\s+(\w+)/gm);
  return [...found].map((match) => match[1] ?? "");
}

function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return normalize(join(dirname(from), specifier));
  const protocol = /^@sluice\/protocol\/(.+)$/.exec(specifier);
  return protocol === null ? undefined : `protocol/src/${protocol[1]}.ts`;
}

/** Every cycle, each once, as the list of files one passes; first met first named. */
export function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      cycles.push([...trail.slice(at), path]);
      return;
    }
    if (done.has(path)) return;
    trail.push(path);
    for (const next of graph.get(path) ?? []) visit(next);
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return cycles;
}
