/**
 * Another number of threads beside the present one: the other, the present, the other, turn by turn, so that both have the
 * same moment. The quickest of each counts, because a turn may be late for reasons of its own. It ends early where it is
 * twice as slow or twice as fast: on a crowded machine a turn with a thread too many takes a second. Pure.
 */

const TURNS = 2;
/** More threads have to be this much faster: they take cores from the rest of the process. */
export const WORTH_IT = 1.1;
/** As good as decided. */
const CLEAR = 2;

export type Verdict = "open" | "better" | "worse" | "hopeless";

export class ThreadTrial {
  readonly threads: number;
  readonly #present: number;
  /** The best of the present number, in milliseconds per token. */
  #againstMs: number;
  #triedMs: readonly number[] = [];
  #presentIsNext = false;
  #lostMs = 0;

  /** `againstMs`: what a token took lately with the present number. */
  constructor(threads: number, present: number, againstMs: number) {
    this.threads = threads;
    this.#present = present;
    this.#againstMs = againstMs;
  }

  /** Of the turn that comes. */
  get next(): number {
    return this.#presentIsNext ? this.#present : this.threads;
  }

  /** Of the present number, per token. */
  get againstMs(): number {
    return this.#againstMs;
  }

  /** Of the number that was tried, per token. */
  get bestMs(): number {
    return Math.min(...this.#triedMs);
  }

  /** By how much the tried turns were slower than they could have been, all together. */
  get lostMs(): number {
    return this.#lostMs;
  }

  /** A turn with `next` threads took so long per token. */
  note(msPerToken: number, tokens: number): Verdict {
    if (this.#presentIsNext) {
      this.#againstMs = Math.min(this.#againstMs, msPerToken);
      this.#presentIsNext = false;
      return "open";
    }
    this.#triedMs = [...this.#triedMs, msPerToken];
    this.#presentIsNext = true;
    this.#lostMs += Math.max(0, msPerToken - this.#againstMs) * tokens;
    if (msPerToken > CLEAR * this.#againstMs) return "hopeless";
    if (msPerToken * CLEAR < this.#againstMs) return "better";
    if (this.#triedMs.length < TURNS) return "open";
    const needed = this.threads > this.#present ? WORTH_IT : 1;
    return this.bestMs * needed < this.#againstMs ? "better" : "worse";
  }
}
