/**
 * How many threads the next turn uses. What was measured when the weights were loaded holds for that moment only: the
 * node's own work and other programs come and go, and a thread too many on a busy machine makes every barrier of
 * llama.cpp wait for the scheduler (two threads on two cores: up to 30 times slower than one). So now and then a few turns
 * try a neighbouring number, the sooner the better it may be, and the faster number stays. More threads are tried only
 * where the machine has cores for them: one such turn on a busy machine is a second in which no answer goes on. Pure: times
 * and cores are arguments.
 */

/** Turns of a trial; the quickest counts, because a turn may be late for reasons of its own. */
const TRIAL_TURNS = 3;
/** Turns before the first trial: what was chosen at the start may have been chosen in a quiet moment. */
const PAUSE_FIRST = 8;
/** Turns between trials: doubled after each that was in vain. */
const PAUSE_MIN = 64;
const PAUSE_MAX = 8_192;
/** More threads have to be this much faster: they take cores from the rest of the process. */
const MORE_IS_WORTH_IT = 1.2;
/** A turn that takes so much longer than it could makes a trial due at once. */
const SLOW = 2;

type Trial = { readonly threads: number; readonly against: number; turns: number; bestMs: number };

export class ThreadGovernor {
  /** Fewest first. */
  readonly #counts: readonly number[];
  /** Whether so many more threads would have cores. */
  readonly #hasCores: (more: number) => boolean;
  #threads: number;
  #pause = PAUSE_FIRST;
  #sinceTrial = 0;
  /** A thread too many does more harm than one too few: fewer are tried first. */
  #upNext = false;
  /** Milliseconds per token of the last turns, by the current number. */
  #recent: number[] = [];
  #bestMs = Number.POSITIVE_INFINITY;
  #size = 0;
  #trial: Trial | undefined;
  /** More threads would have been tried, and had no cores. */
  #refused = false;

  constructor(counts: readonly number[], threads: number, hasCores: (more: number) => boolean = () => true) {
    this.#counts = counts;
    this.#hasCores = hasCores;
    this.#threads = threads;
  }

  /** For the turn that begins now. */
  get threads(): number {
    return this.#trial?.threads ?? this.#threads;
  }

  /** A turn of `tokens` took `ms`. Only turns of equal size are compared. */
  note(tokens: number, ms: number): void {
    if (this.#counts.length < 2) return;
    if (tokens !== this.#size) {
      this.#size = tokens;
      this.#recent = [];
      this.#bestMs = Number.POSITIVE_INFINITY;
      this.#trial = undefined;
      return;
    }
    const msPerToken = ms / tokens;
    if (this.#trial !== undefined) {
      this.#noteTrial(this.#trial, msPerToken);
      return;
    }
    this.#recent = [...this.#recent.slice(1 - TRIAL_TURNS), msPerToken];
    this.#sinceTrial += 1;
    const recentMs = Math.min(...this.#recent);
    this.#bestMs = Math.min(this.#bestMs, recentMs);
    const threads = this.#due(recentMs);
    if (threads === undefined) return;
    this.#refused = threads > this.#threads && !this.#hasCores(threads - this.#threads);
    if (!this.#refused || this.#sinceTrial >= this.#pause) this.#sinceTrial = 0;
    if (!this.#refused)
      this.#trial = { threads, against: recentMs, turns: 0, bestMs: Number.POSITIVE_INFINITY };
  }

  /** The number to try now, if any. */
  #due(recentMs: number): number | undefined {
    if (this.#recent.length < TRIAL_TURNS) return undefined;
    // A slow turn is more likely to have a thread too many than one too few.
    if (recentMs > SLOW * this.#bestMs && this.#sinceTrial >= PAUSE_FIRST) return this.#neighbour(false);
    if (this.#sinceTrial >= this.#pause) {
      this.#upNext = !this.#upNext;
      return this.#neighbour(!this.#upNext);
    }
    // What had no cores was not tried, so not in vain: asked again as soon as another trial could be.
    return this.#refused && this.#sinceTrial % PAUSE_FIRST === 0 ? this.#neighbour(true) : undefined;
  }

  #noteTrial(trial: Trial, msPerToken: number): void {
    trial.turns += 1;
    trial.bestMs = Math.min(trial.bestMs, msPerToken);
    const hopeless = msPerToken > SLOW * trial.against;
    if (trial.turns < TRIAL_TURNS && !hopeless) return;
    const needed = trial.threads > this.#threads ? MORE_IS_WORTH_IT : 1;
    const better = trial.bestMs * needed < trial.against;
    if (better) this.#threads = trial.threads;
    this.#pause = better ? PAUSE_MIN : Math.min(PAUSE_MAX, Math.max(PAUSE_MIN, this.#pause * 2));
    this.#sinceTrial = 0;
    this.#recent = [];
    this.#bestMs = better ? trial.bestMs : Math.min(this.#bestMs, trial.against);
    this.#trial = undefined;
  }

  /** The next higher or lower number; at an end, the other way. */
  #neighbour(up: boolean): number {
    const at = this.#counts.indexOf(this.#threads);
    const wanted = this.#counts[up ? at + 1 : at - 1];
    return wanted ?? this.#counts[up ? at - 1 : at + 1] ?? this.#threads;
  }
}
