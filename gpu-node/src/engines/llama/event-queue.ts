/**
 * The events of one task between the engine's messages and whoever iterates. What waits is merged: tokens of several
 * steps become one event, and of several prefill reports only the last stays. So the queue is never longer than four
 * events and one answer's tokens, however slow the reader.
 */
import type { EngineEvent } from "../engine.ts";

export class EventQueue {
  #waiting: EngineEvent[] = [];
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  push(event: EngineEvent): void {
    const last = this.#waiting.at(-1);
    if (last?.kind === "tokens" && event.kind === "tokens") {
      this.#waiting[this.#waiting.length - 1] = { kind: "tokens", tokens: [...last.tokens, ...event.tokens] };
    } else if (last?.kind === "evaluated" && event.kind === "evaluated") {
      this.#waiting[this.#waiting.length - 1] = event;
    } else this.#waiting.push(event);
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
      if (event !== undefined) return event;
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
