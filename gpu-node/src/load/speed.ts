/**
 * Measured speeds, smoothed: tokens per second over the time in which there was something to do. Pure: durations are
 * arguments. A large measurement weighs more than a small one, because a prompt of ten tokens says little about a speed.
 */

/** After this many tokens an old measurement has lost half its weight. */
const HALF_LIFE_TOKENS = 2_000;

export class Speed {
  #tokens = 0;
  #ms = 0;

  note(tokens: number, ms: number): void {
    if (tokens <= 0 || ms <= 0) return;
    const fade = 0.5 ** (tokens / HALF_LIFE_TOKENS);
    this.#tokens = this.#tokens * fade + tokens;
    this.#ms = this.#ms * fade + ms;
  }

  /** 0 where nothing has been measured yet. */
  get tokensPerS(): number {
    return this.#ms === 0 ? 0 : (this.#tokens / this.#ms) * 1_000;
  }
}

/** The mean of what was measured, the newest counting most. */
class SmoothMs {
  readonly #weight: number;
  #ms: number | undefined;

  constructor(weight: number) {
    this.#weight = weight;
  }

  note(ms: number): void {
    this.#ms = this.#ms === undefined ? ms : this.#ms + (ms - this.#ms) * this.#weight;
  }

  get ms(): number | undefined {
    return this.#ms;
  }
}

const SERVICE_WEIGHT = 0.2;

/** How fast one model is here: what an edge reckons with. */
export class Speeds {
  readonly prefill = new Speed();
  readonly decode = new Speed();
  /** How long an attempt keeps its slot. */
  readonly service = new SmoothMs(SERVICE_WEIGHT);
}
