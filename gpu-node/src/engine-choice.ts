/** From what the operator asked for to an open engine: where the weights lie, and what the engine is told. */
import { join } from "node:path";
import type { EngineChoice } from "./config.ts";
import type { Engine } from "./engines/engine.ts";
import { openEngine } from "./engines/open.ts";
import type { Log } from "./log.ts";
import { findWeights } from "./weights/find.ts";

const BUNDLED_FILE = join(import.meta.dirname, "../models/sluice-tiny.gguf");

export async function openChosen(choice: EngineChoice, log: Log): Promise<Engine> {
  const slots = choice.slots === undefined ? {} : { slots: choice.slots };
  const context = choice.contextTokens === undefined ? {} : { contextTokens: choice.contextTokens };
  if (choice.kind === "script") {
    const { name, weights, restartMs, positionsFile, mayKillProcess, script } = choice.script;
    return openEngine({
      kind: "script",
      model: choice.modelId,
      ...slots,
      ...context,
      ...(name === undefined ? {} : { name }),
      ...(weights === undefined ? {} : { weights }),
      ...(restartMs === undefined ? {} : { restartMs }),
      ...(positionsFile === undefined ? {} : { positionsFile }),
      ...(mayKillProcess === undefined ? {} : { mayKillProcess }),
      ...(script === undefined ? {} : { script }),
    });
  }
  if (choice.kind === "http") {
    const { upstream, model } = choice;
    if (upstream === undefined || model === undefined)
      throw new Error("an http engine without a server: the configuration should have said so");
    const { server, url, key, reuseInSlots } = upstream;
    return openEngine({
      kind: "http",
      model: choice.modelId,
      server,
      url,
      weightsPath: model,
      reuseInSlots,
      ...slots,
      ...context,
      ...(key === undefined ? {} : { key }),
      log: (line) => log("engine", { line }),
    });
  }
  const { threads, gpu } = choice;
  return openEngine({
    kind: "llama",
    model: choice.modelId,
    weightsPath: await findWeights(choice.model ?? BUNDLED_FILE),
    ...slots,
    ...context,
    ...(threads === undefined ? {} : { threads }),
    ...(gpu === undefined ? {} : { gpu: gpu === "cpu" ? false : gpu }),
    log: (line) => log("engine", { line }),
  });
}
