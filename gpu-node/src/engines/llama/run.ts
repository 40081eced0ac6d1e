/**
 * One task in a slot of the native context: adapt the slot to the prompt, evaluate what is missing, then a token per
 * turn. Decides what a turn evaluates and what became of it; the evaluating is step-loop.ts's, the slot belongs to
 * slot-table.ts.
 * The context is never shifted: the task ends with `length` when the next token would not fit. llama.cpp's binding
 * would otherwise drop the beginning of the conversation without a word.
 * Which token follows is sampler.ts's business. Where it says that none can, that is this task's own affair: the task is refused,
 * its slot holds what was evaluated, and nobody else hears of it. Any other error there is the device's: on a GPU a pass is
 * waited for where its logits are read, so a device that is lost in it may be noticed no sooner.
 * Even greedy, a continuation is the first run's text only up to the last bits of a sum, which depend on the batch's
 * shape: where two tokens are as good as equal it may fall the other way (4 of 240 cuts with an undertrained model).
 */
import type { RunMessage, TaskEvent } from "./messages.ts";
import type { Batch, Work } from "./batch.ts";
import type { Natives } from "./native.ts";
import { CannotGoOn, Sampler, type Sampled, type SamplerWords } from "./sampler.ts";
import { commonPrefix } from "../slots.ts";
import type { Run } from "./step-loop.ts";

export type Slot = {
  readonly sequence: number;
  busy: boolean;
  tag: string;
  /** What the sequence holds, kept up as it is evaluated: others may copy from it meanwhile. */
  tokens: number[];
  usedAt: number;
};

export type RunHost = {
  readonly batch: Batch;
  readonly contextTokens: number;
  readonly natives: Natives;
  readonly words: SamplerWords;
  report(event: TaskEvent): void;
  release(slot: Slot): void;
};

/** The slot a task has been given, and the one to copy its prefix from, if another holds more of it. */
export type Grant = { readonly slot: Slot; readonly from: Slot | undefined };

export class LlamaRun implements Run {
  stopped = false;
  readonly #task: RunMessage;
  readonly #slot: Slot;
  readonly #from: Slot | undefined;
  readonly #host: RunHost;
  readonly #tokens: readonly number[];
  /** Undefined where it cannot be: then there is a refusal. */
  #sampler: Sampler | undefined;
  /** Why it cannot go on. */
  #refusal: string | undefined;
  #evaluated = 0;
  #emitted = 0;
  /** The token chosen last: part of the answer, not of the context yet. */
  #pending: number | undefined;

  constructor(task: RunMessage, { slot, from }: Grant, host: RunHost) {
    this.#task = task;
    this.#slot = slot;
    this.#from = from;
    this.#host = host;
    this.#tokens = [...task.prompt, ...task.delivered];
  }

  get prefillTokensLeft(): number {
    if (this.#pending !== undefined || this.#refusal !== undefined || this.#full()) return 0;
    return this.#tokens.length - this.#evaluated;
  }

  async join(): Promise<void> {
    const { batch, natives, words } = this.#host;
    try {
      this.#sampler = new Sampler(natives, this.#task, words);
    } catch (error) {
      if (!(error instanceof CannotGoOn)) throw error;
      this.#refusal = error.message;
      return;
    }
    const slot = this.#slot;
    const { tag } = this.#task;
    const from = this.#from;
    // What it held when it was chosen may have grown since, but not changed hands: tasks join in the order of grants.
    if (from !== undefined && from.tag === tag) {
      await batch.copy(from.sequence, slot.sequence);
      slot.tokens = from.tokens.slice();
    } else if (slot.tag !== tag) {
      batch.cut(slot.sequence, 0);
      slot.tokens = [];
    }
    slot.tag = tag;
    // The last token is always evaluated: without it there are no logits to choose from.
    const reuse = Math.min(commonPrefix(slot.tokens, this.#tokens), this.#tokens.length - 1);
    if (reuse < slot.tokens.length) {
      if (batch.cut(slot.sequence, reuse)) slot.tokens.length = reuse;
      else slot.tokens = [];
    }
    this.#evaluated = slot.tokens.length;
    const cached = Math.min(this.#evaluated, this.#task.prompt.length);
    this.#host.report({ kind: "started", task: this.#task.task, cached });
  }

  next(prefillTokens: number): Work<Sampled> | "wait" | "done" {
    if (this.#refusal !== undefined) return this.#refuse(this.#refusal);
    if (this.#full()) {
      this.#end("length");
      return "done";
    }
    const { sequence } = this.#slot;
    const at = this.#slot.tokens.length;
    if (this.#pending !== undefined) return { sequence, at, tokens: [this.#pending], choose: this.#choose };
    if (prefillTokens <= 0) return "wait";
    const tokens = this.#tokens.slice(this.#evaluated, this.#evaluated + prefillTokens);
    const last = this.#evaluated + tokens.length === this.#tokens.length;
    return last ? { sequence, at, tokens, choose: this.#choose } : { sequence, at, tokens };
  }

  take(work: Work<Sampled>, sampled: Sampled | undefined): "more" | "done" {
    this.#slot.tokens.push(...work.tokens);
    if (this.#pending === undefined) {
      this.#evaluated += work.tokens.length;
      const promptTokens = Math.min(this.#evaluated, this.#task.prompt.length);
      this.#host.report({ kind: "evaluated", task: this.#task.task, promptTokens });
    }
    if (this.#refusal !== undefined) return this.#refuse(this.#refusal);
    return sampled === undefined ? "more" : this.#accept(sampled);
  }

  leave(): void {
    this.#sampler?.dispose();
    this.#host.release(this.#slot);
  }

  #full(): boolean {
    return (
      this.#emitted >= this.#task.outputTokensMax ||
      this.#tokens.length + this.#emitted >= this.#host.contextTokens
    );
  }

  /** Undefined, and a refusal, where nothing can be chosen; rejects where the context fails. */
  readonly #choose = async (logitIndex: number): Promise<Sampled | undefined> => {
    try {
      return await this.#sampler?.sample(logitIndex);
    } catch (error) {
      if (!(error instanceof CannotGoOn)) throw error;
      this.#refusal = error.message;
      return undefined;
    }
  };

  #accept({ id, logprobs }: Sampled): "more" | "done" {
    this.#pending = id;
    this.#emitted += 1;
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

  #refuse(reason: string): "done" {
    this.#host.report({ kind: "refused", task: this.#task.task, reason });
    return "done";
  }
}
