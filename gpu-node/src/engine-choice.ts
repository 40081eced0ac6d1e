/** From what the operator asked for to an open engine: where the weights lie, and what the engine is told. */
import { join } from "node:path";
import type { Engine, Opening } from "./engines/engine.ts";
import { readWords } from "./engines/http/words.ts";
import { openEngine } from "./engines/open.ts";
import type { Log } from "./log.ts";
import type { EngineChoice } from "./model-config.ts";
import { digestWeights } from "./weights/digest.ts";
import { findWeights, hfFrom } from "./weights/find.ts";

const BUNDLED_FILE = join(import.meta.dirname, "../models/sluice-tiny.gguf");

/** `occupiedBytes`: memory that looks free and is not, because models that are open have their weights mapped there. */
export async function openChosen(
  choice: EngineChoice,
  log: Log,
  occupiedBytes: () => number,
  opening: Opening = {},
): Promise<Engine> {
  const slots = choice.slots === undefined ? {} : { slots: choice.slots };
  const context = choice.contextTokens === undefined ? {} : { contextTokens: choice.contextTokens };
  const tell = (line: string): void => log("engine", { model: choice.modelId, line });
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
    if (upstream?.server === "openai") {
      const { url, key, offers, tagField, extra, thinkingExtra } = upstream;
      return openEngine({
        kind: "text",
        model: choice.modelId,
        url,
        offers,
        ...(tagField === undefined ? {} : { tagField }),
        ...(extra === undefined ? {} : { extra }),
        ...(thinkingExtra === undefined ? {} : { thinkingExtra }),
        ...(model === undefined ? {} : { servedAs: model }),
        ...slots,
        ...context,
        ...(key === undefined ? {} : { key }),
        opening,
        log: tell,
      });
    }
    if (upstream === undefined || model === undefined)
      throw new Error("an http engine without a server: the configuration should have said so");
    const { server, url, key, reuseInSlots } = upstream;
    return openEngine({
      kind: choice.embeddings ? "embedding" : "http",
      model: choice.modelId,
      server,
      url,
      weightsPath: model,
      reuseInSlots,
      ...slots,
      ...context,
      ...(key === undefined ? {} : { key }),
      opening,
      log: tell,
    });
  }
  const { threads, gpu, embeddings, memoryUnchecked } = choice;
  return openEngine({
    kind: "llama",
    model: choice.modelId,
    weightsPath: await findWeights(choice.model ?? BUNDLED_FILE, hfFrom(process.env)),
    ...slots,
    ...context,
    ...(threads === undefined ? {} : { threads }),
    ...(gpu === undefined ? {} : { gpu: gpu === "cpu" ? false : gpu }),
    embeddings,
    ...(memoryUnchecked ? {} : { occupiedBytes }),
    log: tell,
  });
}

/** The digest of the weights that lie there now; undefined for an engine that has none. */
export async function digestChosen({ kind, model, upstream }: EngineChoice): Promise<string | undefined> {
  if (kind === "script" || upstream?.server === "openai") return undefined;
  if (kind === "http") return model === undefined ? undefined : (await readWords(model)).digest;
  return digestWeights(await findWeights(model ?? BUNDLED_FILE, hfFrom(process.env)));
}
