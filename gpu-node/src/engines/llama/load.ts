/**
 * Loads weights into llama.cpp: prebuilt binaries only, no network, no compiler. Memory is as asked or not at all: the
 * binding's habit of shrinking the context until it fits is off. A first token is evaluated before the engine calls
 * itself ready, because some bad files abort only then.
 * Contexts are not unified: memory is slots x contextTokens.
 */
import { type Llama, type LlamaContext, type LlamaModel, getLlama, LlamaLogLevel } from "node-llama-cpp";
import { avoidAmx } from "./cpu-backend.ts";
import type { LoadMessage } from "./messages.ts";

/** Without a wish, as much context as the model was trained for, up to this. */
const CONTEXT_TOKENS_DEFAULT = 8_192;
/** On a CPU, what the others wait for while a prompt is evaluated: 128 tokens are 4 times quicker past than 512. */
const CHUNK_TOKENS_CPU = 128;
const CHUNK_TOKENS_GPU = 512;

export type Loaded = {
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly backend: string;
  readonly contextTokens: number;
  readonly chunkTokens: number;
};

export async function load(message: LoadMessage, log: (line: string) => void): Promise<Loaded> {
  await avoidAmx(message.gpu);
  const llama = await getLlama({
    build: "never",
    skipDownload: true,
    gpu: message.gpu,
    maxThreads: message.threads,
    logLevel: LlamaLogLevel.error,
    logger: (level, text) => log(`${level}: ${text.trim()}`),
    progressLogs: false,
  });
  const model = await llama.loadModel({ modelPath: message.weightsPath });
  const chunkTokens = llama.gpu === false ? CHUNK_TOKENS_CPU : CHUNK_TOKENS_GPU;
  const wanted = message.contextTokens ?? Math.min(model.trainContextSize, CONTEXT_TOKENS_DEFAULT);
  const context = await model.createContext({
    sequences: message.slots,
    contextSize: wanted,
    // A whole chunk beside a token of every slot: a turn is one batch.
    batchSize: chunkTokens + message.slots,
    threads: message.threads,
    failedCreationRemedy: false,
  });
  const probe = context.getSequence();
  for await (const _ of probe.evaluate(model.tokenize("a"), { temperature: 0, yieldEogToken: true })) break;
  await probe.clearHistory();
  await probe.dispose();
  return {
    llama,
    model,
    context,
    backend: llama.gpu === false ? "cpu" : llama.gpu,
    contextTokens: Math.min(wanted, context.contextSize),
    chunkTokens,
  };
}
