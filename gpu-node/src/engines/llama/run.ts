/**
 * One task in a slot of the native context: adapt the slot to the prompt, evaluate what is missing, then a token per
 * turn. Owns the generator it decodes with; the slot itself belongs to slot-table.ts.
 * The context is never shifted: the task ends with `length` when the next token would not fit. llama.cpp's binding
 * would otherwise drop the beginning of the conversation without a word.
 * Which token follows is sampler.ts's business.
 * Even so a continuation is the first run's text only up to the last bits of a sum, which depend on the batch's shape:
 * where two tokens are as good as equal it may fall the other way (4 of 240 cuts with an undertrained bundled model).
 */
import type { LlamaContextSequence, Token } from "node-llama-cpp";
import type { RunMessage, TaskEvent } from "./messages.ts";
import type { Natives } from "./native.ts";
import { Sampler, type Sampled, type SamplerWords } from "./sampler.ts";
import type { Run } from "./step-loop.ts";

export type Slot = {
  readonly sequence: LlamaContextSequence;
  busy: boolean;
  tag: string;
  tokens: readonly number[];
  usedAt: number;
};

export type RunHost = {
  readonly contextTokens: number;
  readonly natives: Natives;
  readonly words: SamplerWords;
  report(event: TaskEvent): void;
  release(slot: Slot): void;
};

export class LlamaRun implements Run {
  stopped = false;
  readonly #task: RunMessage;
  readonly #slot: Slot;
  readonly #host: RunHost;
  readonly #tokens: readonly number[];
  #evaluated = 0;
  #emitted = 0;
  /** From the first token on. */
  #sampler: Sampler | undefined;
  #last: readonly number[] = [];

  constructor(task: RunMessage, slot: Slot, host: RunHost) {
    this.#task = task;
    this.#slot = slot;
    this.#host = host;
    this.#tokens = [...task.prompt, ...task.delivered];
  }

  get prefillTokensLeft(): number {
    return this.#sampler === undefined && !this.#full() ? this.#tokens.length - this.#evaluated : 0;
  }

  async join(): Promise<void> {
    const { sequence } = this.#slot;
    const sameTag = this.#slot.tag === this.#task.tag;
    this.#slot.tag = this.#task.tag;
    // The last token is always evaluated: without it there are no logits to sample from.
    if (sameTag) await sequence.adaptStateToTokens(asTokens(this.#tokens.slice(0, -1)), false);
    else await sequence.clearHistory();
    this.#evaluated = sequence.nextTokenIndex;
    const cached = Math.min(this.#evaluated, this.#task.prompt.length);
    this.#host.report({ kind: "started", task: this.#task.task, cached });
  }

  async turn(prefillTokens: number): Promise<"more" | "done"> {
    if (this.#full()) return this.#end("length");
    if (this.#sampler !== undefined) return this.#accept(await this.#step(this.#sampler));
    const left = this.#tokens.length - this.#evaluated;
    if (prefillTokens <= 0) return "more";
    if (left > prefillTokens) {
      const chunk = this.#tokens.slice(this.#evaluated, this.#evaluated + prefillTokens);
      await this.#slot.sequence.evaluateWithoutGeneratingNewTokens(asTokens(chunk));
      this.#evaluated += chunk.length;
      this.#reportEvaluated();
      return "more";
    }
    this.#last = this.#tokens.slice(this.#evaluated);
    this.#sampler = new Sampler(this.#host.natives, this.#task, this.#host.words);
    const sampled = await this.#step(this.#sampler);
    this.#evaluated = this.#tokens.length;
    this.#reportEvaluated();
    return this.#accept(sampled);
  }

  async leave(): Promise<void> {
    this.#sampler?.dispose();
    this.#slot.tokens = [...this.#slot.sequence.contextTokens];
    this.#host.release(this.#slot);
  }

  #full(): boolean {
    return (
      this.#emitted >= this.#task.outputTokensMax ||
      this.#tokens.length + this.#emitted >= this.#host.contextTokens
    );
  }

  #step(sampler: Sampler): Promise<Sampled> {
    return this.#host.natives.decode(this.#slot.sequence, this.#last, (logitIndex) =>
      sampler.sample(logitIndex),
    );
  }

  #accept({ id, logprobs }: Sampled): "more" | "done" {
    this.#emitted += 1;
    this.#last = [id];
    this.#host.report({
      kind: "tokens",
      task: this.#task.task,
      ids: [id],
      ...(logprobs === undefined ? {} : { logprobs: [logprobs] }),
    });
    if (this.#host.words.endTokens.has(id)) return this.#end("stop");
    return this.#full() ? this.#end("length") : "more";
  }

  #end(why: "stop" | "length"): "done" {
    this.#host.report({ kind: "end", task: this.#task.task, why });
    return "done";
  }

  #reportEvaluated(): void {
    const promptTokens = Math.min(this.#evaluated, this.#task.prompt.length);
    this.#host.report({ kind: "evaluated", task: this.#task.task, promptTokens });
  }
}

/** The binding brands its token ids; ours are plain numbers everywhere else. */
const asTokens = (ids: readonly number[]): Token[] => ids as Token[];
