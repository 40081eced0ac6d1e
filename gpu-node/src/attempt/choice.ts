/**
 * One of an attempt's answers, while it is made: how far it is read, and how it ended. Most attempts have one; `n` of them
 * share the prompt, the count of positions and the bill.
 */
import type { Ending } from "@sluice/protocol/receipt";
import { remainder, step, type Answering, type Delta, type Rules } from "../answer/reduce.ts";
import type { Gather } from "../answer/gather.ts";
import type { Task, Token } from "../engines/engine.ts";
import type { Finish, FinishReason } from "../print/face.ts";

export class Choice {
  readonly task: Task;
  readonly index: number;
  #state: Answering;
  #reason: FinishReason | undefined;
  /** What was held back, and goes out with the end. */
  #tail: Delta | undefined;
  /** Its end has been told. */
  told = false;

  constructor(index: number, task: Task, before: Answering) {
    this.index = index;
    this.task = task;
    this.#state = before;
  }

  get positions(): number {
    return this.#state.positions;
  }

  get stopped(): boolean {
    return this.#state.stopped;
  }

  /** Undefined while it goes on, and where it failed. */
  get reason(): FinishReason | undefined {
    return this.#reason;
  }

  /** Reads tokens; `stop_string` where one is complete and nobody wants what comes after it. */
  take(rules: Rules, tokens: readonly Token[], gather: Gather): "stop_string" | undefined {
    for (const token of tokens) {
      const thoughts = this.#state.reasoning;
      const { state, deltas } = step(rules, this.#state, token);
      this.#state = state;
      gather.add(this.index, token, deltas, state.reasoning - thoughts);
      if (state.stopped && !rules.endTokens.has(token.id)) return "stop_string";
    }
    return undefined;
  }

  end(why: "stop" | "length"): FinishReason {
    this.#tail = remainder(this.#state);
    this.#reason = why === "stop" && this.#state.calls > 0 ? "tool_calls" : why;
    return this.#reason;
  }

  /** `reason` must be known. */
  finish(gather: Gather): Finish | undefined {
    if (this.#reason === undefined) return undefined;
    return {
      choice: this.index,
      reason: this.#reason,
      tail: this.#tail,
      weighed: gather.takeWeighed(this.index),
    };
  }
}

/** How a natural ending is told to the client; undefined for the others. */
export function finishReason(ended: Ending): FinishReason | undefined {
  return ended === "stop" || ended === "length" || ended === "tool_calls" ? ended : undefined;
}

/** How the whole attempt ended, from how its choices did: cut short where one was. */
export function joint(reasons: readonly FinishReason[]): FinishReason {
  if (reasons.includes("length")) return "length";
  return reasons.includes("tool_calls") ? "tool_calls" : "stop";
}
