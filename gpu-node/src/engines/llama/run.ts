/**
 * One task in a slot of the native context: adapt the slot to the prompt, evaluate what is missing, then a token per
 * turn. Owns the generator it decodes with; the slot itself belongs to slot-table.ts.
 * The context is never shifted: the task ends with `length` when the next token would not fit. llama.cpp's binding
 * would otherwise drop the beginning of the conversation without a word.
 * Greedy tokens are llama.cpp's own argmax; all others are chosen in sample.ts, because only that can be resumed.
 * Even so a continuation is the first run's text only up to the last bits of a sum, which depend on the batch's shape:
 * where two tokens are as good as equal it may fall the other way (4 of 240 cuts with an undertrained bundled model).
 */
import type { LlamaContextSequence, Token } from "node-llama-cpp";
import type { RunMessage, TaskEvent } from "./messages.ts";
import { CANDIDATES_MAX, chooseToken, diceAt } from "./sample.ts";
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
  readonly endTokens: ReadonlySet<number>;
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
  #steps: Steps | undefined;

  constructor(task: RunMessage, slot: Slot, host: RunHost) {
    this.#task = task;
    this.#slot = slot;
    this.#host = host;
    this.#tokens = [...task.prompt, ...task.delivered];
  }

  get prefillTokensLeft(): number {
    return this.#steps === undefined && !this.#full() ? this.#tokens.length - this.#evaluated : 0;
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
    if (this.#steps !== undefined) return this.#accept(await this.#steps.next());
    const left = this.#tokens.length - this.#evaluated;
    if (prefillTokens <= 0) return "more";
    if (left > prefillTokens) {
      const chunk = this.#tokens.slice(this.#evaluated, this.#evaluated + prefillTokens);
      await this.#slot.sequence.evaluateWithoutGeneratingNewTokens(asTokens(chunk));
      this.#evaluated += chunk.length;
      this.#reportEvaluated();
      return "more";
    }
    const last = this.#tokens.slice(this.#evaluated);
    this.#steps = this.#task.temperature > 0 ? this.#chosen(last) : greedy(this.#slot.sequence, last);
    const id = await this.#steps.next();
    this.#evaluated = this.#tokens.length;
    this.#reportEvaluated();
    return this.#accept(id);
  }

  async leave(): Promise<void> {
    await this.#steps?.close();
    this.#slot.tokens = [...this.#slot.sequence.contextTokens];
    this.#host.release(this.#slot);
  }

  #full(): boolean {
    return (
      this.#emitted >= this.#task.outputTokensMax ||
      this.#tokens.length + this.#emitted >= this.#host.contextTokens
    );
  }

  #accept(id: number): "more" | "done" {
    this.#emitted += 1;
    this.#host.report({ kind: "tokens", task: this.#task.task, ids: [id] });
    if (this.#host.endTokens.has(id)) return this.#end("stop");
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

  #chosen(last: readonly number[]): Steps {
    const { temperature, topP, seed, delivered } = this.#task;
    const distribution = {
      temperature: 1,
      topK: CANDIDATES_MAX,
      topP: 1,
      minP: 0,
      yieldEogToken: true,
    } as const;
    const results = this.#slot.sequence.evaluateWithMetadata(
      asTokens(last),
      { probabilities: true },
      distribution,
    );
    let previous: number | undefined;
    return {
      next: async () => {
        const result = await (previous === undefined ? results.next() : results.next(asToken(previous)));
        if (result.done === true) throw new Error("The decoder ended without an end token.");
        const dice = diceAt(seed, delivered.length + this.#emitted);
        previous = chooseToken(result.value.probabilities, { temperature, topP }, dice);
        if (previous === undefined) throw new Error("The model gave no token a probability.");
        return previous;
      },
      close: async () => {
        await results.return();
      },
    };
  }
}

type Steps = { next(): Promise<number>; close(): Promise<void> };

function greedy(sequence: LlamaContextSequence, last: readonly number[]): Steps {
  const results = sequence.evaluate(asTokens(last), { temperature: 0, yieldEogToken: true });
  return {
    next: async () => {
      const result = await results.next();
      if (result.done === true) throw new Error("The decoder ended without an end token.");
      return result.value;
    },
    close: async () => {
      await results.return();
    },
  };
}

/** The binding brands its token ids; ours are plain numbers everywhere else. */
const asToken = (id: number): Token => id as Token;
const asTokens = (ids: readonly number[]): Token[] => ids as Token[];
