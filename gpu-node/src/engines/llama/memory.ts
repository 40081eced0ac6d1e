/**
 * Whether a model fits into the memory of this machine, before anything of it is loaded: llama.cpp says what it would take
 * (it plans weights, cache and buffers without taking them), the machine says what is free. What does not fit is refused
 * with the figures; the alternative is the kernel's choice of a process to kill.
 * Elsewhere than on Linux only the memory of the GPU is compared; the binding has checks of its own.
 */
import { GgufInsights, type Llama, readGgufFileInfo } from "node-llama-cpp";
import { freeRamBytes, shortage, type Footprint } from "./free-memory.ts";

/** Left for this process itself and for the machine's other small needs. */
const SPARE_BYTES = 192 << 20;

export type MemoryAsk = {
  readonly weightsPath: string;
  readonly contextTokensDefault: number;
  readonly contexts: readonly {
    readonly slots: number;
    /** Undefined: what the model was trained for, up to `contextTokensDefault`. */
    readonly contextTokens: number | undefined;
    readonly batchTokens: number;
    readonly embeddings: boolean;
  }[];
};

/** A model that does not fit. */
export class NoMemory extends Error {
  override readonly name = "NoMemory";
}

/** Throws NoMemory where it does not fit. `occupiedBytes` look free and are not. */
export async function checkMemory(llama: Llama, ask: MemoryAsk, occupiedBytes: number): Promise<void> {
  const { weights, contexts } = await planned(llama, ask);
  const { free: vramBytes } = await llama.getVramState();
  const ramBytes = freeRamBytes();
  const free = {
    ramBytes: ramBytes === undefined ? undefined : Math.max(0, ramBytes - occupiedBytes),
    vramBytes: llama.gpu === false ? undefined : vramBytes,
  };
  const why = shortage({ weights, contexts, spareBytes: SPARE_BYTES }, free);
  if (why !== undefined) throw new NoMemory(why);
}

async function planned(
  llama: Llama,
  { weightsPath, contexts, contextTokensDefault }: MemoryAsk,
): Promise<{ weights: Footprint; contexts: Footprint }> {
  const info = await readGgufFileInfo(weightsPath, { sourceType: "filesystem", logWarnings: false });
  const insights = await GgufInsights.from(info, llama);
  const auto = llama.gpu === false ? 0 : await insights.configurationResolver.resolveModelGpuLayersV2("auto");
  const layers = typeof auto === "number" ? auto : auto.gpuLayers;
  const weights = await insights.estimateModelResourceRequirementsV2({ gpuLayers: layers });
  let [ramBytes, vramBytes] = [0, 0];
  for (const { slots, contextTokens, batchTokens, embeddings } of contexts) {
    const one = await insights.estimateContextResourceRequirementsV2({
      contextSize:
        contextTokens ?? Math.min(insights.trainContextSize ?? contextTokensDefault, contextTokensDefault),
      sequences: slots,
      batchSize: batchTokens,
      modelGpuLayers: layers,
      swaFullCache: true,
      flashAttention: "auto",
      isEmbeddingContext: embeddings,
    });
    ramBytes += one.cpuRam;
    vramBytes += one.gpuVram;
  }
  return {
    weights: { ramBytes: weights.cpuRam, vramBytes: weights.gpuVram },
    contexts: { ramBytes, vramBytes },
  };
}
