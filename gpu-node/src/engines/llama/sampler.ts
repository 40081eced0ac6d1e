/**
 * How one task's next token is chosen. Owns the task's native samplers and its grammar's state.
 *
 * Everything is a function of the tokens so far, the seed and the position: penalties are counted and the grammar's state is
 * rebuilt from the tokens an earlier node delivered, so a continued answer is the answer. Where a grammar binds, a token is
 * chosen freely first and only one the grammar refuses is chosen again among those it accepts: asking the grammar about
 * one token costs microseconds, about a whole vocabulary milliseconds. (llama.cpp's own server does the same.)
 * What a call asks can leave nothing to choose: a client's bias yields to the grammar, and where nothing is left all the same
 * CannotGoOn ends this task. No grammar is ever told of a token it does not accept: llama.cpp has no answer to that.
 * Every other error is the context's, and passed on: who reads logits is who hears that the device is lost.
 *
 * Three native samplers, made when first needed: `shaped` knows bias and penalties, `bound` the grammar too, `raw` neither:
 * log probabilities are the model's own.
 */
import { strangersTo } from "../../grammar/strangers.ts";
import type { RunMessage } from "./messages.ts";
import {
  type Candidates,
  isGrammarsEnd,
  type NativeGrammar,
  type Natives,
  type NativeSampler,
  type SamplerConfig,
} from "./native.ts";
import { CANDIDATES_MAX, chooseToken, diceAt } from "./sample.ts";

export type SampledLogprobs = {
  readonly own: number;
  readonly top: readonly (readonly [id: number, logprob: number])[];
};

export type Sampled = { readonly id: number; readonly logprobs?: SampledLogprobs };

/** What the sampler has to know of the vocabulary. */
export type SamplerWords = {
  readonly endTokens: ReadonlySet<number>;
  readonly thinkClose: number | undefined;
  /** Opens a section of tools, which ends thinking as well. */
  readonly sectionOpen: number | undefined;
  /** Tokens that stand for no text, those that end an answer included. */
  readonly special: ReadonlySet<number>;
};

/**
 * What weighs so little beside the likeliest, once the temperature is applied, is never chosen. It stays in llama.cpp:
 * each candidate costs more on its way to JavaScript than all else that is done with it.
 */
const NEGLIGIBLE = 1e-5;

const NONE: ReadonlySet<number> = new Set();
const NO_BIAS: ReadonlyMap<number, number> = new Map();

/**
 * No token can follow, or those delivered cannot have come before: the fault of what this task asks, and of nobody else. Never holds
 * llama.cpp's own words, which may hold a piece of the answer.
 */
export class CannotGoOn extends Error {
  override readonly name = "CannotGoOn";
}

/** Less than this cannot be told from nothing in 32 bits. */
const LOGPROB_MIN = -100;

export class Sampler {
  readonly #natives: Natives;
  readonly #task: RunMessage;
  readonly #words: SamplerWords;
  readonly #made: NativeSampler[] = [];
  readonly #bias: ReadonlyMap<number, number>;
  /** A grammar takes special tokens for their spelling; they come only where it names them. */
  readonly #strange: ReadonlySet<number>;
  readonly #counts = new Map<number, number>();
  readonly #penalises: boolean;
  #shaped: NativeSampler | undefined;
  /** `shaped` knows of something that has passed. */
  #stale = false;
  #bound: NativeSampler | undefined;
  #raw: NativeSampler | undefined;
  #grammar: NativeGrammar | undefined;
  #waitsFor: number | undefined;
  #thinking: boolean;
  #position = 0;

  /** Throws CannotGoOn where what was delivered is not of the form that is asked for, or the form is none. */
  constructor(natives: Natives, task: RunMessage, words: SamplerWords) {
    this.#natives = natives;
    this.#task = task;
    this.#words = words;
    this.#bias = new Map(task.logitBias);
    this.#penalises = task.presencePenalty !== 0 || task.frequencyPenalty !== 0;
    this.#thinking = task.thinkingTokensMax !== undefined;
    this.#strange = task.grammar === undefined ? NONE : strangersTo(task.grammar.gbnf, words);
    this.#waitsFor = task.grammar?.after;
    if (task.grammar !== undefined && this.#waitsFor === undefined)
      this.#grammar = this.#read(task.grammar.gbnf);
    for (const id of task.delivered) this.#note(id);
  }

  /** Behind the logits at this index of the batch; they are there only while this runs. Rejects with CannotGoOn where none can follow. */
  async sample(logitIndex: number): Promise<Sampled> {
    const id = this.#forced() ?? (await this.#choose(logitIndex));
    const logprobs =
      this.#task.logprobs === undefined
        ? undefined
        : await this.#logprobs(logitIndex, id, this.#task.logprobs);
    this.#note(id);
    return logprobs === undefined ? { id } : { id, logprobs };
  }

  dispose(): void {
    for (const sampler of this.#made) sampler.dispose();
  }

  /** Thinking that has had its share is closed. */
  #forced(): number | undefined {
    const max = this.#task.thinkingTokensMax;
    if (!this.#thinking || max === undefined || this.#position < max) return undefined;
    return this.#words.thinkClose;
  }

  async #choose(logitIndex: number): Promise<number> {
    this.#shaped ??= this.#make(this.#shape(this.#barred()));
    // Without penalties the bias hardly ever changes.
    if (this.#penalises || this.#stale) this.#shaped.applyConfig(this.#shape(this.#barred()));
    this.#stale = false;
    const free = await this.#pick(logitIndex, this.#shaped);
    const grammar = this.#grammar;
    if (grammar === undefined) {
      // Greedy, llama.cpp gives some token also where all of them are forbidden.
      if (free === undefined || this.#bias.get(free) === Number.NEGATIVE_INFINITY)
        throw new CannotGoOn("Every token is forbidden by logit_bias.");
      return free;
    }
    if (free !== undefined && this.#fits(grammar, free)) return free;
    const chosen =
      (await this.#pickBound(logitIndex, grammar, this.#bias)) ??
      // The client's bias leaves nothing of the form that it asks for as well: the form is what it can see.
      (await this.#pickBound(logitIndex, grammar, NO_BIAS));
    if (chosen === undefined) throw new CannotGoOn("No token of this model fits the form that is asked for.");
    return chosen;
  }

  /** Of those the grammar accepts; undefined where there is none. */
  async #pickBound(
    logitIndex: number,
    grammar: NativeGrammar,
    bias: ReadonlyMap<number, number>,
  ): Promise<number | undefined> {
    const shape = this.#shape(this.#strange, bias);
    this.#bound ??= this.#make(shape);
    // The native sampler tells the grammar what it chose itself: it gets a copy.
    const grammarEvaluationState = this.#natives.copyGrammar(grammar);
    this.#bound.applyConfig({ ...shape, grammarEvaluationState });
    // Where there is none it may choose any, tell that to its grammar, and throw: so does the copy's failing say that there is none.
    const chosen = await this.#pick(logitIndex, this.#bound).catch((error: unknown) => {
      if (!isGrammarsEnd(error)) throw error;
      return undefined;
    });
    return chosen !== undefined && this.#fits(grammar, chosen) ? chosen : undefined;
  }

  #fits(grammar: NativeGrammar, id: number): boolean {
    return !this.#strange.has(id) && this.#natives.accepts(grammar, id);
  }

  /** What a grammar behind the thinking binds must not begin inside it: nothing would bind it there. */
  #barred(): ReadonlySet<number> {
    const { thinkClose, sectionOpen } = this.#words;
    const waits = this.#grammar === undefined && this.#waitsFor !== undefined;
    return waits && this.#waitsFor === thinkClose && sectionOpen !== undefined
      ? new Set([sectionOpen])
      : NONE;
  }

  async #pick(logitIndex: number, sampler: NativeSampler): Promise<number | undefined> {
    const { temperature, topP, topK, minP, seed } = this.#task;
    if (temperature <= 0) return this.#natives.sample(logitIndex, sampler);
    const { flat } = await this.#natives.candidates(logitIndex, sampler);
    return chooseToken(flat, { temperature, topP, topK, minP }, diceAt(seed, this.#position));
  }

  #shape(forbidden: ReadonlySet<number>, asked: ReadonlyMap<number, number> = this.#bias): SamplerConfig {
    const bias = this.#penalised(asked);
    for (const id of forbidden) bias.set(id, Number.NEGATIVE_INFINITY);
    return {
      ...(this.#task.temperature <= 0
        ? { temperature: 0 }
        : { temperature: 1, topK: CANDIDATES_MAX, minP: NEGLIGIBLE ** this.#task.temperature }),
      ...(bias.size === 0
        ? {}
        : {
            tokenBiasKeys: Uint32Array.from(bias.keys()),
            tokenBiasValues: Float32Array.from(bias.values()),
          }),
    };
  }

  #penalised(asked: ReadonlyMap<number, number>): Map<number, number> {
    const { presencePenalty, frequencyPenalty } = this.#task;
    const bias = new Map(asked);
    if (!this.#penalises) return bias;
    for (const [id, count] of this.#counts)
      bias.set(id, (bias.get(id) ?? 0) - presencePenalty - count * frequencyPenalty);
    return bias;
  }

  async #logprobs(logitIndex: number, id: number, count: number): Promise<SampledLogprobs> {
    this.#raw ??= this.#make({ temperature: 1, topK: CANDIDATES_MAX });
    this.#raw.applyConfig({ temperature: 1, topK: CANDIDATES_MAX });
    const best = await this.#natives.candidates(logitIndex, this.#raw);
    this.#raw.applyConfig({ temperature: 1 });
    const all = await this.#natives.totalWeight(logitIndex, this.#raw);
    const logprobs = logprobsOf(best, all);
    const own =
      logprobs.find(([other]) => other === id)?.[1] ?? (await this.#unlikely(logitIndex, id, this.#raw, all));
    return { own, top: logprobs.slice(0, count) };
  }

  /** Of a token behind the best: the whole vocabulary is sorted for it, which happens once in a long while. */
  async #unlikely(logitIndex: number, id: number, raw: NativeSampler, all: number): Promise<number> {
    const everything = await this.#natives.candidates(logitIndex, raw);
    return logprobsOf(everything, all).find(([other]) => other === id)?.[1] ?? LOGPROB_MIN;
  }

  #note(id: number): void {
    this.#position += 1;
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    if (id === this.#words.thinkClose || id === this.#words.sectionOpen) this.#thinking = false;
    if (this.#grammar !== undefined) {
      if (this.#words.endTokens.has(id)) return;
      if (!this.#fits(this.#grammar, id))
        throw new CannotGoOn("This answer cannot be continued: it is not of the form that is asked for.");
      this.#natives.accept(this.#grammar, id);
    } else if (this.#waitsFor === id && this.#task.grammar !== undefined) {
      this.#grammar = this.#read(this.#task.grammar.gbnf);
      this.#stale = true;
    }
  }

  #read(gbnf: string): NativeGrammar {
    try {
      return this.#natives.newGrammar(gbnf);
    } catch {
      // No device has a part in it.
      throw new CannotGoOn("llama.cpp cannot read the form that is asked for.");
    }
  }

  #make(config: SamplerConfig): NativeSampler {
    const sampler = this.#natives.newSampler();
    sampler.applyConfig(config);
    this.#made.push(sampler);
    return sampler;
  }
}

function* pairs(flat: readonly number[]): Generator<readonly [number, number]> {
  for (let at = 0; at + 1 < flat.length; at += 2) yield [flat[at] ?? 0, flat[at + 1] ?? 0];
}

/** `all`: the weight of the whole vocabulary, where the heaviest token weighs 1. */
function logprobsOf({ flat, totalWeight }: Candidates, all: number): readonly (readonly [number, number])[] {
  const share = all > 0 ? totalWeight / all : 1;
  return [...pairs(flat)].map(
    ([id, p]) => [id, Math.max(LOGPROB_MIN, Math.min(0, Math.log(p * share)))] as const,
  );
}
