/**
 * Looks at weights before llama.cpp does: unreadable, truncated, damaged or contradictory files end here in an
 * EngineFault("bad_model") that says what is wrong and what to do. Covers every shard of a sharded model.
 */
import { EngineFault } from "../engines/engine.ts";
import { GgufProblem } from "./byte-source.ts";
import { checkGguf } from "./gguf-check.ts";
import { readGgufFile } from "./gguf-header.ts";
import { shardPaths } from "./shards.ts";

export function checkWeights(path: string): void {
  const [first, ...rest] = shardPaths(path);
  const problem = problemOf(first, true);
  if (problem !== undefined) throw badModel(first, problem);
  for (const shard of rest) {
    const shardProblem = problemOf(shard, false);
    if (shardProblem !== undefined) throw badModel(shard, shardProblem);
  }
}

function problemOf(path: string, whole: boolean): string | undefined {
  try {
    const header = readGgufFile(path);
    return whole ? checkGguf(header) : undefined;
  } catch (error) {
    if (error instanceof GgufProblem) return error.message;
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return "there is no such file";
    if (code === "EACCES") return "this process may not read it";
    if (code === "EISDIR") return "it is a folder; name the .gguf file in it";
    throw error;
  }
}

function badModel(path: string, problem: string): EngineFault {
  return new EngineFault(
    "bad_model",
    `${path} cannot be served: ${problem}. Fetch the file again, or name another with --model.`,
  );
}
