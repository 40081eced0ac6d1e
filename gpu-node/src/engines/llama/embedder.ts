/**
 * Embeddings by llama.cpp: a second context of the same weights, one sequence long, because a context either answers or
 * embeds (one that embeds keeps every token's output). One input at a time; each is evaluated in chunks and forgotten.
 *
 * What comes out is the last layer's output behind the input's last token, scaled to unit length: what a decoder knows of a
 * whole text stands there (each token sees only what comes before it). Weights that say they want to be pooled otherwise, or
 * whose tokens see both ways, would give something else than they were trained for, and are refused.
 */
import type { LlamaModel } from "node-llama-cpp";
import type { GgufHeader } from "../../weights/gguf-header.ts";
import { openBatch, type Batch } from "./batch.ts";
import { property } from "./native.ts";

/** Its outputs are kept for every token of a batch. */
export const EMBEDDING_BATCH_TOKENS = 512;
const [POOLING_NONE, POOLING_LAST] = [0, 3];

/** Why these weights cannot be served with embeddings; undefined where they can. Pure. */
export function embeddingProblem({ metadata }: Pick<GgufHeader, "metadata">): string | undefined {
  const named = metadata.get("general.architecture");
  const architecture = typeof named === "string" ? named : "";
  if (metadata.get(`${architecture}.attention.causal`) === false)
    return "its tokens see both ways, which embeddings by --embeddings do not do";
  const pooling = metadata.get(`${architecture}.pooling_type`) ?? POOLING_NONE;
  return pooling === POOLING_NONE || pooling === POOLING_LAST
    ? undefined
    : "it wants its embeddings pooled over all tokens; --embeddings takes the last one's";
}

type EmbeddingContext = { getEmbedding(tokens: number): Float64Array };

export class Embedder {
  readonly dimensions: number;
  readonly #batch: Batch;
  readonly #context: EmbeddingContext;
  readonly #pending = new Set<number>();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(batch: Batch, context: EmbeddingContext, dimensions: number) {
    this.#batch = batch;
    this.#context = context;
    this.dimensions = dimensions;
  }

  static async open(
    model: LlamaModel,
    options: { readonly contextTokens: number; readonly threads: number; readonly unchecked: boolean },
  ): Promise<Embedder> {
    const { contextTokens, threads, unchecked } = options;
    // The binding's own embedding contexts are made by this one word more, and then given tokens it adds to.
    const unpublished: object = { _embeddings: true };
    const context = await model.createContext({
      sequences: 1,
      contextSize: contextTokens,
      batchSize: EMBEDDING_BATCH_TOKENS,
      threads,
      swaFullCache: true,
      flashAttention: "auto",
      failedCreationRemedy: false,
      ignoreMemorySafetyChecks: unchecked,
      ...unpublished,
    });
    const native = property(context, "_ctx") as EmbeddingContext;
    property(native, "getEmbedding");
    const batch = openBatch(context);
    batch.useThreads({ threads: () => threads });
    return new Embedder(batch, native, model.embeddingVectorSize);
  }

  /** Undefined where it was stopped. One after the other, in the order in which they were asked. */
  embed(ask: number, tokens: readonly number[]): Promise<Float32Array | undefined> {
    this.#pending.add(ask);
    const made = this.#last.then(() => this.#one(ask, tokens));
    this.#last = made.catch(() => undefined);
    return made.finally(() => this.#pending.delete(ask));
  }

  /** Nobody waits for it any more. */
  stop(ask: number): void {
    this.#pending.delete(ask);
  }

  async #one(ask: number, tokens: readonly number[]): Promise<Float32Array | undefined> {
    this.#batch.cut(0, 0);
    for (let at = 0; at < tokens.length; at += EMBEDDING_BATCH_TOKENS) {
      if (!this.#pending.has(ask)) return undefined;
      const chunk = tokens.slice(at, at + EMBEDDING_BATCH_TOKENS);
      const isLast = at + chunk.length === tokens.length;
      const work = { sequence: 0, at, tokens: chunk };
      const [vector] = await this.#batch.evaluate([
        isLast
          ? { ...work, choose: async () => unitVector(this.#context.getEmbedding(tokens.length)) }
          : work,
      ]);
      if (vector !== undefined) return vector;
    }
    return undefined;
  }
}

/** Of length 1, as OpenAI's are; a vector of nothing stays one. Pure. */
export function unitVector(vector: ArrayLike<number>): Float32Array {
  const numbers = Float32Array.from(vector);
  const length = Math.hypot(...numbers);
  return length > 0 ? numbers.map((number) => number / length) : numbers;
}
