/** Opens the engine a node's configuration names: the one place that knows all of them. Called by the composition root. */
import { createEmbeddingEngine } from "./http/embedding-engine.ts";
import { type HttpEngineOptions, createHttpEngine } from "./http/engine.ts";
import { type TextEngineOptions, createTextEngine } from "./http/text-engine.ts";
import { type LlamaEngineOptions, createLlamaEngine } from "./llama/engine.ts";
import { type ScriptEngineOptions, createScriptEngine } from "./script/engine.ts";
import type { Engine } from "./engine.ts";

export type EngineConfig =
  | ({ readonly kind: "llama" } & LlamaEngineOptions)
  | ({ readonly kind: "http" } & HttpEngineOptions)
  | ({ readonly kind: "embedding" } & HttpEngineOptions)
  | ({ readonly kind: "text" } & TextEngineOptions)
  | ({ readonly kind: "script" } & ScriptEngineOptions);

/** Ready when it resolves; throws EngineFault("bad_model") where the weights cannot be served. */
export async function openEngine(config: EngineConfig): Promise<Engine> {
  switch (config.kind) {
    case "llama":
      return await createLlamaEngine(config);
    case "http":
      return await createHttpEngine(config);
    case "embedding":
      return await createEmbeddingEngine(config);
    case "text":
      return await createTextEngine(config);
    case "script":
      return createScriptEngine(config);
  }
}
