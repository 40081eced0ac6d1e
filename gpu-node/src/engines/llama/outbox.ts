/**
 * What the engine's process tells its parent, gathered. News goes at once (but behind the next turn's start, so that writing
 * goes on beside the computing): a task's start, the end of a prompt with its first token, an end. Where there are only further
 * tokens they wait until `TOKENS_EVERY_MS` after the last message. Nobody sees a difference of half a picture on a screen; a small
 * model's turn takes less than that, and to write, read and print each of its tokens by itself took a twentieth of its speed.
 */
import type { TaskEvent } from "./messages.ts";

const TOKENS_EVERY_MS = 8;

export type OutboxHooks = {
  send(events: readonly TaskEvent[]): void;
  nowMs(): number;
  /** Calls back after so many milliseconds, 0: behind what is to be done at once. */
  later(act: () => void, ms: number): void;
};

export class Outbox {
  readonly #hooks: OutboxHooks;
  #events: TaskEvent[] = [];
  #hasNews = false;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  /** When what waits will be sent; undefined where nothing is planned. */
  #plannedAtMs: number | undefined;

  constructor(hooks: OutboxHooks) {
    this.#hooks = hooks;
  }

  put(event: TaskEvent): void {
    this.#events.push(event);
    if (event.kind !== "tokens") this.#hasNews = true;
  }

  /** A turn is over: what was put is sent now or soon. */
  plan(): void {
    if (this.#events.length === 0) return;
    const nowMs = this.#hooks.nowMs();
    const atMs = this.#hasNews ? nowMs : Math.max(nowMs, this.#sentAtMs + TOKENS_EVERY_MS);
    if (this.#plannedAtMs !== undefined && this.#plannedAtMs <= atMs) return;
    this.#plannedAtMs = atMs;
    this.#hooks.later(() => this.flush(), atMs - nowMs);
  }

  flush(): void {
    this.#plannedAtMs = undefined;
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#hasNews = false;
    this.#sentAtMs = this.#hooks.nowMs();
    this.#hooks.send(events);
  }
}
