/**
 * The weights the engine tests run on: the bundled model. SLUICE_TEST_WEIGHTS names another GGUF, to see whether the
 * contract holds for it as well; SLUICE_TEST_GPU=cuda, vulkan or metal, whether it holds on a GPU.
 */
import { fileURLToPath } from "node:url";
import {
  type LlamaEngine,
  type LlamaEngineOptions,
  createLlamaEngine,
} from "../../../gpu-node/src/engines/llama/engine.ts";

const BUNDLED = fileURLToPath(new URL("../../../gpu-node/models/sluice-tiny.gguf", import.meta.url));

export const WEIGHTS_PATH = process.env.SLUICE_TEST_WEIGHTS ?? BUNDLED;

const GPUS = ["cuda", "vulkan", "metal"] as const;
/** False: on the CPU. */
export const GPU = GPUS.find((gpu) => gpu === process.env.SLUICE_TEST_GPU) ?? false;

export function openLlama(options: Partial<LlamaEngineOptions> = {}): Promise<LlamaEngine> {
  return createLlamaEngine({ model: "sluice-tiny", weightsPath: WEIGHTS_PATH, gpu: GPU, ...options });
}
