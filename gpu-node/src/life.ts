/**
 * Whether this node takes calls: it does when its engine is ready and the edge's clock is known, until it is told to
 * drain. A drain lets what runs finish until a deadline, then ends it; it can be taken back as long as the process
 * itself is not stopping.
 */
import type { Beat } from "@sluice/protocol/beat";
import type { Refusal } from "@sluice/protocol/refusal";

const RETRY_AFTER_MS = 1_000;
/** The longest a timer of the runtime can be; a later deadline is as good as none. */
const TIMER_MS_MAX = 2_147_483_647;

export type LifeHooks = {
  readonly engineReady: () => boolean;
  /** While none is ready: about how long until one is. */
  readonly wakeMs: () => number | undefined;
  readonly clockKnown: () => boolean;
  /** The deadline of a drain has come. */
  readonly onDeadline: () => void;
};

export class Life {
  readonly #hooks: LifeHooks;
  #draining = false;
  #stopping = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(hooks: LifeHooks) {
    this.#hooks = hooks;
  }

  get state(): Beat["state"] {
    if (this.#draining) return "draining";
    return this.#hooks.engineReady() && this.#hooks.clockKnown() ? "ready" : "loading";
  }

  /** Why a call is not taken now; undefined where it is. */
  get refusal(): Refusal | undefined {
    switch (this.state) {
      case "draining":
        return { kind: "draining" };
      case "loading":
        return { kind: "loading", retryAfterMs: this.#hooks.wakeMs() ?? RETRY_AFTER_MS };
      case "ready":
        return undefined;
    }
  }

  /** A later call moves the deadline; `stopping` cannot be taken back. */
  drain(inMs: number, stopping = false): void {
    if (this.#stopping) return;
    this.#draining = true;
    this.#stopping = stopping;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#hooks.onDeadline, Math.min(TIMER_MS_MAX, Math.max(0, inMs)));
  }

  resumeService(): void {
    if (this.#stopping) return;
    this.#draining = false;
    clearTimeout(this.#timer);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
