/**
 * Greedy decoding of many prompts through node-llama-cpp: what evaluation and the export proof stand on.
 *
 * One thread always: llama.cpp's spinning threads beside Node's own cost far more than they bring on a model this
 * small. Flash attention is off because it computes in F16 on a CPU, which would blur the comparison with PyTorch.
 */
import {
  getLlama,
  LlamaLogLevel,
  type Llama,
  type LlamaContext,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import { avoidAmx } from "../../gpu-node/src/engines/llama/cpu-backend.ts";
import { at } from "./at.ts";

export interface Greedy {
  readonly model: LlamaModel;
  /** Token ids written for each prompt, without the end token. */
  run(prompts: readonly (readonly number[])[], maximumTokens: number): Promise<number[][]>;
  close(): Promise<void>;
}

const SEQUENCES = 16;
const CONTEXT_TOKENS = 1024;

export async function openGreedy(path: string, contextTokens = CONTEXT_TOKENS): Promise<Greedy> {
  await avoidAmx(false);
  const llama: Llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    maxThreads: 1,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({
    sequences: SEQUENCES,
    contextSize: contextTokens,
    batchSize: 512,
    threads: 1,
    flashAttention: false,
  });
  return {
    model,
    run: (prompts, maximumTokens) => runAll(context, model, prompts, maximumTokens),
    async close() {
      await context.dispose();
      await model.dispose();
      await llama.dispose();
    },
  };
}

async function runAll(
  context: LlamaContext,
  model: LlamaModel,
  prompts: readonly (readonly number[])[],
  maximumTokens: number,
): Promise<number[][]> {
  const results: number[][] = prompts.map(() => []);
  let next = 0;
  const work = async (): Promise<void> => {
    const sequence = context.getSequence();
    while (next < prompts.length) {
      const index = next++;
      const out = at(results, index);
      await sequence.clearHistory();
      for await (const token of sequence.evaluate([...at(prompts, index)] as Token[], {
        temperature: 0,
        yieldEogToken: true,
      })) {
        if (token === model.tokens.eos) break;
        out.push(token);
        if (out.length >= maximumTokens) break;
      }
    }
    await sequence.dispose();
  };
  await Promise.all(Array.from({ length: Math.min(SEQUENCES, prompts.length) }, work));
  return results;
}
