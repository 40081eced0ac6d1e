/**
 * The engine's part of a node's command line. Without a wish it serves the bundled model; without weights there is the
 * script engine. What a node serves, and under which name, it says itself: the catalogue follows from its beat.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { PlatformError } from "./problem.ts";

const BUNDLED_FILE = "gpu-node/models/sluice-tiny.gguf";

export function engineArguments(
  root: string,
  models: readonly string[],
  engine: string | undefined,
): readonly string[] {
  if (engine === "script") return ["--engine", "script", ...models.flatMap((model) => ["--model", model])];
  if (engine !== undefined && engine !== "llama")
    throw new PlatformError(`--engine is llama or script, not "${engine}"`);
  const llama = ["--engine", "llama", "--embeddings"];
  if (models.length === 0) {
    const bundled = join(root, BUNDLED_FILE);
    if (!existsSync(bundled)) throw new PlatformError(`the bundled model is not there (${BUNDLED_FILE})`);
    return [...llama, "--model", bundled];
  }
  return [...llama, ...models.flatMap((model) => ["--model", found(model)])];
}

/** As a node takes it: `id=` may stand before it, and a path is looked for from here. */
function found(model: string): string {
  const [, id = "", reference = model] = /^([\w][\w.:-]*=)(.+)$/.exec(model) ?? [];
  if (reference.startsWith("hf:")) return model;
  const file = resolve(reference);
  if (!existsSync(file))
    throw new PlatformError(
      `there is no file ${file}; --model wants a GGUF file, or hf:owner/repo:Q4_K_M, or hf:owner/repo/file.gguf`,
    );
  return `${id}${file}`;
}
