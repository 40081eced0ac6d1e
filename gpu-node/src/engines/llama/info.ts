/** What the engine is and can do, from what its process said when it was ready. Pure. */
import type { EngineInfo } from "../engine.ts";
import type { ReadyMessage } from "./messages.ts";
import { toolMarks } from "./tool-template.ts";
import type { Vocabulary } from "./vocabulary.ts";

const FEATURES = [
  "resume",
  "seed",
  "json",
  "logprobs",
  "logit_bias",
  "penalties",
  "n",
  "prefix",
  "completions",
  "tokenize",
] as const;

export function infoOf(
  message: ReadyMessage,
  vocabulary: Vocabulary,
  known: Pick<EngineInfo, "model" | "weights" | "slots">,
): EngineInfo {
  const { backend, contextTokens, endTokens, embeddingDimensions: dimensions } = message;
  const tools = message.tools === undefined ? undefined : toolMarks(message.tools, vocabulary.spellings);
  return {
    ...known,
    contextTokens,
    backend,
    vocabularyTokens: vocabulary.size,
    features: [
      ...FEATURES,
      ...(vocabulary.think === undefined ? [] : ["thinking", "thinking_budget"]),
      ...(tools === undefined ? [] : ["tools"]),
      ...(dimensions === undefined ? [] : ["embeddings"]),
    ],
    endTokens,
    ...(vocabulary.think === undefined ? {} : { think: vocabulary.think }),
    ...(tools === undefined ? {} : { tools }),
    ...(dimensions === undefined ? {} : { embedding: { dimensions } }),
  };
}
