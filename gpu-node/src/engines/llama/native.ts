/**
 * The parts of node-llama-cpp that it does not publish, and the only place that knows of them: decoding with a sampler of
 * our own, and a grammar's state that accepts the tokens we choose. Without them a grammar, log probabilities and seeded
 * choices could not be had together, nor continued elsewhere. The version is pinned; `natives` looks whether everything
 * is where it was, so an upgrade fails when the engine starts and not in the middle of an answer.
 */
import type { LlamaContext, LlamaModel } from "node-llama-cpp";

export type SamplerConfig = {
  /** 0 is greedy; otherwise 1: temperatures are sample.ts's business. */
  readonly temperature: 0 | 1;
  /** Only the likeliest so many, and those sorted. Absent: the whole vocabulary, unsorted. */
  readonly topK?: number;
  /** Only those at least so likely, of the likeliest one's probability. */
  readonly minP?: number;
  readonly tokenBiasKeys?: Uint32Array;
  readonly tokenBiasValues?: Float32Array;
  readonly grammarEvaluationState?: NativeGrammar;
};

export interface NativeSampler {
  applyConfig(config: SamplerConfig): void;
  dispose(): void;
}

/** Opaque; what may come next in a text bound by a grammar. */
export type NativeGrammar = { readonly brand: "grammar" };

/** [chosen id (-1: none), id and probability by turns, confidence, logits, total weight relative to the heaviest]. */
type FullSample = readonly [number, readonly number[] | undefined, unknown, unknown, number | undefined];

type Bindings = {
  AddonSampler: {
    new (model: unknown): NativeSampler;
    acceptGrammarEvaluationStateToken(state: NativeGrammar, id: number): void;
    canBeNextTokenForGrammarEvaluationState(state: NativeGrammar, id: number): boolean;
  };
  AddonGrammar: new (gbnf: string, options: { addonExports: unknown; rootRuleName: string }) => unknown;
  AddonGrammarEvaluationState: {
    new (model: unknown, grammar: unknown): NativeGrammar;
    new (existing: NativeGrammar): NativeGrammar;
  };
};

type RawContext = {
  sampleToken(logitIndex: number, sampler: NativeSampler): Promise<number>;
  sampleToken(
    logitIndex: number,
    sampler: NativeSampler,
    probabilities: boolean,
    confidence: boolean,
    logits: boolean,
    totalWeight: boolean,
  ): Promise<FullSample>;
};

export type Candidates = {
  /** Id and probability by turns, the likeliest first; probabilities among these candidates. */
  readonly flat: readonly number[];
  /** The weight of all of them, where the heaviest weighs 1. */
  readonly totalWeight: number;
};

export type Natives = {
  newSampler(): NativeSampler;
  /** Throws where the text is no grammar. */
  newGrammar(gbnf: string): NativeGrammar;
  copyGrammar(state: NativeGrammar): NativeGrammar;
  accepts(state: NativeGrammar, id: number): boolean;
  /** Only for tokens it accepts, and none that ends an answer: others end the process. */
  accept(state: NativeGrammar, id: number): void;
  /** The token the sampler's configuration chooses; undefined where none has any weight. */
  sample(logitIndex: number, sampler: NativeSampler): Promise<number | undefined>;
  candidates(logitIndex: number, sampler: NativeSampler): Promise<Candidates>;
  /** As `Candidates.totalWeight`, over all that the sampler lets through. */
  totalWeight(logitIndex: number, sampler: NativeSampler): Promise<number>;
};

export function natives(model: LlamaModel, context: LlamaContext): Natives {
  const rawModel = property(model, "_model");
  const bindings = property(property(model, "_llama"), "_bindings") as Bindings;
  const raw = property(context, "_ctx") as RawContext;
  for (const name of ["AddonSampler", "AddonGrammar", "AddonGrammarEvaluationState"])
    property(bindings, name);
  for (const name of ["acceptGrammarEvaluationStateToken", "canBeNextTokenForGrammarEvaluationState"])
    property(bindings.AddonSampler, name);
  property(raw, "sampleToken");
  const { AddonSampler, AddonGrammar, AddonGrammarEvaluationState } = bindings;
  return {
    newSampler: () => new AddonSampler(rawModel),
    newGrammar: (gbnf) =>
      new AddonGrammarEvaluationState(
        rawModel,
        new AddonGrammar(gbnf, { addonExports: bindings, rootRuleName: "root" }),
      ),
    copyGrammar: (state) => new AddonGrammarEvaluationState(state),
    accepts: (state, id) => AddonSampler.canBeNextTokenForGrammarEvaluationState(state, id),
    accept: (state, id) => AddonSampler.acceptGrammarEvaluationStateToken(state, id),
    sample: async (logitIndex, sampler) => {
      const id = await raw.sampleToken(logitIndex, sampler);
      return id < 0 ? undefined : id;
    },
    candidates: async (logitIndex, sampler) => {
      const [, flat, , , total] = await raw.sampleToken(logitIndex, sampler, true, false, false, true);
      return { flat: flat ?? [], totalWeight: total ?? 0 };
    },
    totalWeight: async (logitIndex, sampler) => {
      const [, , , , total] = await raw.sampleToken(logitIndex, sampler, false, false, false, true);
      return total ?? 0;
    },
  };
}

/** A sampler told its grammar of a token that cannot follow. llama.cpp tells it by these words alone, with the token behind them. */
const GRAMMARS_END = "Unexpected empty grammar stack";

/** Whether an error of sampling is the grammar's, and not the context's. */
export function isGrammarsEnd(error: unknown): boolean {
  return error instanceof Error && error.message.includes(GRAMMARS_END);
}

export function property(owner: unknown, name: string): unknown {
  const found: unknown = Object(owner)[name];
  if (found === undefined || found === null)
    throw new Error(
      `node-llama-cpp has no ${name} any more: gpu-node/src/engines/llama has to be written anew.`,
    );
  return found;
}
