/**
 * The weights that are measured: `mid`, a random `deepseek2` of about 110 million parameters (made once, kept in the
 * cache folder under a name that changes with its shape), and `tiny`, the bundled model.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../../gpu-node/src/weights/cache-folder.ts";
import { writeRandomModel, type RandomModelOptions } from "../../tools/train/random.ts";

export type BenchModel = {
  readonly name: "mid" | "tiny";
  readonly path: string;
  /** Of the long prompts; what the model was trained for bounds it. */
  readonly promptTokens: number;
  readonly contextTokens: number;
  /** Whose answer to it is longer than any ceiling here. */
  readonly question: string;
  readonly outputTokens: number;
};

const MID: RandomModelOptions = {
  name: "sluice-bench-mid",
  layers: 8,
  dModel: 768,
  heads: 8,
  experts: 16,
  expertsUsed: 4,
  groups: 4,
  groupsUsed: 2,
  dExpert: 352,
  quant: "Q8_0",
  endless: true,
};

function midPath(): string {
  const digest = createHash("sha256").update(JSON.stringify(MID)).digest("hex");
  const folder = join(cacheFolder(), "bench");
  const path = join(folder, `mid-${digest.slice(0, 12)}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  writeRandomModel(unfinished, MID);
  renameSync(unfinished, path);
  return path;
}

export function benchModels(root: string): readonly BenchModel[] {
  return [
    {
      name: "mid",
      path: midPath(),
      promptTokens: 2_000,
      contextTokens: 2_304,
      question: "Go on.",
      outputTokens: 64,
    },
    {
      name: "tiny",
      path: join(root, "gpu-node/models/sluice-tiny.gguf"),
      promptTokens: 1_500,
      contextTokens: 2_048,
      question: "Count from 1 to 90.",
      outputTokens: 128,
    },
  ];
}
