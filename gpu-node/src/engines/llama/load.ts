/**
 * Loads weights into llama.cpp: prebuilt binaries only, no network, no compiler. Memory is as asked or not at all: the
 * binding's habit of shrinking the context until it fits is off. Some tokens are evaluated before the engine calls
 * itself ready: some bad files abort only then, and the speeds are needed.
 * Contexts are not unified: memory is slots x contextTokens.
 */
import { availableParallelism } from "node:os";
import {
  getLlama,
  InsufficientMemoryError,
  type Llama,
  type LlamaContext,
  LlamaLogLevel,
  type LlamaModel,
} from "node-llama-cpp";
import { type Batch, openBatch } from "./batch.ts";
import { ChunkSize, type Measured, measure, MEASURED_BEHIND, settle, threadsToTry } from "./calibrate.ts";
import { avoidAmx } from "./cpu-backend.ts";
import { checkMemory, NoMemory } from "./memory.ts";
import { Embedder, EMBEDDING_BATCH_TOKENS } from "./embedder.ts";
import type { LoadMessage } from "./messages.ts";
import { TILE_TOKENS } from "./passes.ts";
import { SpareCores } from "./spare-cores.ts";
import { ThreadGovernor } from "./thread-governor.ts";
import { defaultThreads } from "./threads.ts";
import { worksInOrder } from "./workers.ts";

/** Without a wish, as much context as the model was trained for, up to this. */
const CONTEXT_TOKENS_DEFAULT = 8_192;
/** How much of it is used is measured. */
const CHUNK_TOKENS_MAX = 512;

export type Loaded = {
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly batch: Batch;
  readonly backend: string;
  readonly contextTokens: number;
  readonly chunk: ChunkSize;
  readonly embedder: Embedder | undefined;
};

export async function load(message: LoadMessage, log: (line: string) => void): Promise<Loaded> {
  const spare = new SpareCores();
  await avoidAmx(message.gpu);
  const llama = await getLlama({
    build: "never",
    skipDownload: true,
    gpu: message.gpu,
    maxThreads: 0,
    logLevel: LlamaLogLevel.error,
    logger: (level, text) => log(`${level}: ${text.trim()}`),
    progressLogs: false,
  });
  // The short prompts of a turn go together: a whole chunk, and the last of them may be finished beyond it.
  const batchTokens = CHUNK_TOKENS_MAX + Math.max(message.slots, TILE_TOKENS);
  if (message.occupiedBytes !== undefined) {
    const { slots, contextTokens, weightsPath } = message;
    const ask = {
      weightsPath,
      contextTokensDefault: CONTEXT_TOKENS_DEFAULT,
      contexts: [
        { slots, contextTokens, batchTokens, embeddings: false },
        ...(message.embeddings
          ? [{ slots: 1, contextTokens, batchTokens: EMBEDDING_BATCH_TOKENS, embeddings: true }]
          : []),
      ],
    };
    await checkMemory(llama, ask, message.occupiedBytes);
  }
  const unchecked = message.occupiedBytes === undefined;
  const model = await llama
    .loadModel({ modelPath: message.weightsPath, ignoreMemorySafetyChecks: unchecked })
    .catch(namedMemory);
  const wanted = message.contextTokens ?? Math.min(model.trainContextSize, CONTEXT_TOKENS_DEFAULT);
  const context = await model
    .createContext({
      sequences: message.slots,
      contextSize: wanted,
      batchSize: batchTokens,
      threads: message.threads ?? 1,
      // Otherwise the beginning of a sequence is forgotten and no prefix can be used again.
      swaFullCache: true,
      // As llama.cpp decides for the device; the binding's own default is off. Without it DeepSeek's attention copies its
      // keys in every turn: half the tokens a second with 8 answers at once.
      flashAttention: "auto",
      failedCreationRemedy: false,
      ignoreMemorySafetyChecks: unchecked,
    })
    .catch(namedMemory);
  const batch = openBatch(context, worksInOrder(process.env));
  const backend = llama.gpu === false ? "cpu" : llama.gpu;
  // Where the device computes every layer, threads do next to nothing, and making more of them for each turn costs time.
  const onDevice = llama.gpu !== false && model.gpuLayers >= model.fileInsights.totalLayers;
  const usual = onDevice ? [1] : threadsToTry(availableParallelism(), defaultThreads());
  const counts = message.threads === undefined ? usual : [message.threads];
  const hasCores = (more: number): boolean => spare.has(more);
  const contextTokens = Math.min(wanted, context.contextSize);
  // A CPU is measured by the shortest chunk; a GPU's speed shows only where it is full.
  const sampleTokens = Math.min(onDevice ? CHUNK_TOKENS_MAX : TILE_TOKENS, contextTokens - MEASURED_BEHIND);
  const sample = ordinaryTokens(model, Math.max(1, sampleTokens));
  const measured = await measure(batch, sample, counts, hasCores);
  const { threads, chunkTokens } = settle(measured, CHUNK_TOKENS_MAX);
  const chunk = new ChunkSize(chunkTokens, CHUNK_TOKENS_MAX);
  const governor = new ThreadGovernor(counts, threads, hasCores);
  batch.useThreads({
    threads: (kind, tokens) => governor.threads(kind, tokens),
    note: (kind, tokens, ms) => {
      spare.look();
      governor.note(kind, tokens, ms);
      if (kind === "prompt") chunk.note(tokens, ms);
    },
  });
  log(
    `info: ${threads.prompt} threads for prompts, ${threads.decode} for tokens, chunks of ${chunkTokens} tokens` +
      ` (${measured.map(told).join("; ")})`,
  );
  const embedder = message.embeddings
    ? await Embedder.open(model, { contextTokens, threads: threads.prompt, unchecked }).catch(namedMemory)
    : undefined;
  return {
    llama,
    model,
    context,
    batch,
    backend,
    contextTokens,
    chunk,
    embedder,
  };
}

/** The binding's own checks come behind ours: they know of layers that only partly fit a GPU. */
function namedMemory(error: unknown): never {
  throw error instanceof InsufficientMemoryError ? new NoMemory(error.message, { cause: error }) : error;
}

/** So many, of many kinds: over and over where the vocabulary has fewer. */
function ordinaryTokens(model: LlamaModel, count: number): readonly number[] {
  const kinds: number[] = [];
  for (const token of model.iterateAllTokens()) {
    if (kinds.length === count) break;
    if (!model.getTokenAttributes(token).control && !model.isEogToken(token)) kinds.push(token);
  }
  return Array.from({ length: count }, (_, i) => kinds[i % kinds.length] ?? 0);
}

function told({ threads, promptMsPerToken, decodeMs }: Measured): string {
  return `${threads}: ${Math.round(1_000 / promptMsPerToken)} and ${Math.round(1_000 / decodeMs)} tokens/s`;
}
