/**
 * The events of one task between the engine's messages and whoever iterates. What waits is merged: tokens of several
 * steps become one event, and of several prefill reports only the last stays. So the queue is never longer than four
 * events and one answer's tokens, however slow the reader.
 */
import type { EngineEvent, Token } from "../engine.ts";

export class EventQueue {
  #waiting: EngineEvent[] = [];
  /** The tokens of the last waiting event, while it is one of tokens. */
  #lastTokens: Token[] | undefined;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  push(event: EngineEvent): void {
    if (event.kind === "tokens") {
      if (this.#lastTokens === undefined) {
        this.#lastTokens = [];
        this.#waiting.push({ kind: "tokens", tokens: this.#lastTokens });
      }
      this.#lastTokens.push(...event.tokens);
    } else {
      if (event.kind === "evaluated" && this.#waiting.at(-1)?.kind === "evaluated") this.#waiting.pop();
      this.#waiting.push(event);
      this.#lastTokens = undefined;
    }
    this.#wake?.();
  }

  /** What already waits is dropped: a failed task's last tokens were handed to nobody. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#waiting = [];
    this.#wake?.();
  }

  async next(): Promise<EngineEvent> {
    // Each turn waits for a push or a failure; one reader, so one waker suffices.
    while (true) {
      const event = this.#waiting.shift();
      if (this.#waiting.length === 0) this.#lastTokens = undefined;
      if (event !== undefined) return event;
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
