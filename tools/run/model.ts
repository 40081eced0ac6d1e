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
  model: string | undefined,
  engine: string | undefined,
): readonly string[] {
  if (engine === "script") return ["--engine", "script", ...(model === undefined ? [] : ["--model", model])];
  if (engine !== undefined && engine !== "llama")
    throw new PlatformError(`--engine is llama or script, not "${engine}"`);
  if (model?.startsWith("hf:")) return ["--engine", "llama", "--model", model];
  const file = model === undefined ? join(root, BUNDLED_FILE) : resolve(model);
  if (!existsSync(file)) {
    throw new PlatformError(
      model === undefined
        ? `the bundled model is not there (${BUNDLED_FILE})`
        : `there is no file ${file}; --model wants a GGUF file, or hf:owner/repo:Q4_K_M, or hf:owner/repo/file.gguf`,
    );
  }
  return ["--engine", "llama", "--model", file];
}
