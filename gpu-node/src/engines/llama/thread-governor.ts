/**
 * How many threads the next turn uses. What was measured when the weights were loaded holds for that moment only: the
 * node's own work and other programs come and go, and a thread too many on a busy machine makes every barrier of
 * llama.cpp wait for the scheduler (two threads on two cores: up to 30 times slower than one). So now and then a trial
 * (thread-trial.ts) puts a neighbouring number beside the present one, and the faster stays.
 *
 * Only turns of about one size are compared (size-class.ts). Every class has its own number; one that has tried nothing yet
 * takes that of the nearest that has. More threads are tried only where the machine has cores for them, and what a trial has
 * cost is made good before the next: a turn with a thread too many on a busy machine is a second in which no answer goes on.
 * What shows that the machine is crowded counts for all classes.
 * Pure: times and cores are arguments; the only clock is the sum of the times told.
 */
import { type Kind, sizeClass } from "./size-class.ts";
import { ThreadTrial } from "./thread-trial.ts";

/** Turns of a class before more threads are tried: a whole prompt has some twenty. */
const TURNS_FIRST: Readonly<Record<Kind, number>> = { prompt: 2, decode: 8 };
/** At least so many turns' time between trials, and before fewer are tried first. */
const PAUSE_TURNS = 32;
/** As many times what a trial has cost is computed before the next, twice as many after each in vain. */
const COST_TIMES = 16;
const DOUBLINGS_MAX = 4;
/** A trial that takes more turns, of all classes, compares moments too far apart. */
const TRIAL_SPAN_TURNS = 64;
/** So much longer than it lately took, twice in a row, and fewer threads are tried at once. */
const SLOW = 2;
/** Once is enough where every answer waited so much longer. */
const STALL_MS = 200;
/** Turns between trials for that reason. */
const SLOW_TURNS = 8;
const LATELY_TURNS = 3;

type Turn = { readonly kind: Kind; readonly tokens: number; readonly ms: number };
type Direction = "more" | "fewer";
type Begun = { readonly trial: ThreadTrial; readonly direction: Direction; readonly atTurn: number };
type Pause = { untilMs: number; inVain: number };

/** What is known of turns of one size. */
type Known = {
  /** Undefined: nothing was found better than what others use. */
  threads: number | undefined;
  begun: Begun | undefined;
  turns: number;
  sinceTrial: number;
  slowInARow: number;
  /** Milliseconds per token of the last turns, and by how many threads. */
  lately: readonly number[];
  latelyBy: number;
  readonly pauses: Readonly<Record<Direction, Pause>>;
};

export class ThreadGovernor {
  /** Fewest first. */
  readonly #counts: readonly number[];
  readonly #hasCores: (more: number) => boolean;
  readonly #first: Record<Kind, number>;
  readonly #known: Readonly<Record<Kind, Map<number, Known>>> = { prompt: new Map(), decode: new Map() };
  #turn = 0;
  #computedMs = 0;
  /** No class tries more threads before. */
  readonly #crowded: Pause = { untilMs: 0, inVain: 0 };

  /** `first`: what was measured at the start. `hasCores`: whether so many more threads would have cores of their own. */
  constructor(
    counts: readonly number[],
    first: Readonly<Record<Kind, number>>,
    hasCores: (more: number) => boolean = () => true,
  ) {
    this.#counts = counts;
    this.#first = { ...first };
    this.#hasCores = hasCores;
  }

  /** For the turn of so many tokens that begins now. */
  threads(kind: Kind, tokens: number): number {
    const at = sizeClass(kind, tokens);
    return this.#begun(this.#known[kind].get(at))?.trial.next ?? this.#present(kind, at);
  }

  /** The turn that `threads` was asked for last took `ms`. */
  note(kind: Kind, tokens: number, ms: number): void {
    if (this.#counts.length < 2 || ms <= 0) return;
    const at = sizeClass(kind, tokens);
    const known = this.#known[kind].get(at) ?? unknown();
    this.#known[kind].set(at, known);
    known.begun = this.#begun(known);
    const present = this.#present(kind, at);
    this.#turn += 1;
    this.#computedMs += ms;
    if (known.begun === undefined) this.#look(known, present, { kind, tokens, ms });
    else this.#judge(known, known.begun, { kind, tokens, ms });
  }

  /** The trial that runs, unless it was begun too long ago. */
  #begun(known: Known | undefined): Begun | undefined {
    const begun = known?.begun;
    return begun !== undefined && this.#turn - begun.atTurn <= TRIAL_SPAN_TURNS ? begun : undefined;
  }

  #present(kind: Kind, at: number): number {
    let nearest: number | undefined;
    let distance = Number.POSITIVE_INFINITY;
    for (const [other, { threads }] of this.#known[kind]) {
      if (threads === undefined || Math.abs(other - at) >= distance) continue;
      nearest = threads;
      distance = Math.abs(other - at);
    }
    return nearest ?? this.#first[kind];
  }

  /** A turn with the present number of threads is over: is it time to try another? */
  #look(known: Known, present: number, { kind, tokens, ms }: Turn): void {
    const msPerToken = ms / tokens;
    const before = known.latelyBy === present ? known.lately : [];
    const usual = Math.min(...before);
    known.lately = [...before.slice(1 - LATELY_TURNS), msPerToken];
    known.latelyBy = present;
    known.turns += 1;
    known.sinceTrial += 1;
    known.slowInARow = before.length > 0 && msPerToken > SLOW * usual ? known.slowInARow + 1 : 0;
    const [fewer, more] = this.#neighbours(present);
    const begin = (threads: number, direction: Direction, againstMs: number): void => {
      known.begun = { trial: new ThreadTrial(threads, present, againstMs), direction, atTurn: this.#turn };
      known.sinceTrial = 0;
    };
    const stalled = known.slowInARow > 1 || (known.slowInARow > 0 && ms - usual * tokens > STALL_MS);
    if (fewer !== undefined && stalled && known.sinceTrial >= SLOW_TURNS) begin(fewer, "fewer", msPerToken);
    else if (
      more !== undefined &&
      known.turns >= TURNS_FIRST[kind] &&
      this.#mayTryMore(known, more - present)
    )
      begin(more, "more", Math.min(...known.lately));
    else if (fewer !== undefined && known.turns >= PAUSE_TURNS && this.#over(known.pauses.fewer))
      begin(fewer, "fewer", Math.min(...known.lately));
  }

  #judge(known: Known, { trial, direction }: Begun, { tokens, ms }: Turn): void {
    const wasSlow = trial.againstMs;
    const verdict = trial.note(ms / tokens, tokens);
    if (verdict === "open") return;
    known.begun = undefined;
    const turnMs = Math.min(trial.againstMs, trial.bestMs) * tokens;
    const pause = known.pauses[direction];
    if (verdict === "better") {
      known.threads = trial.threads;
      for (const of of Object.values(known.pauses)) this.#pause(of, PAUSE_TURNS * turnMs, 0);
      known.lately = [trial.bestMs];
      known.latelyBy = trial.threads;
      if (direction === "more") this.#crowded.inVain = 0;
      else if (trial.bestMs * SLOW < wasSlow) this.#crowd(trial.threads, (wasSlow - trial.bestMs) * tokens);
      return;
    }
    this.#pause(pause, Math.max(PAUSE_TURNS * turnMs, COST_TIMES * trial.lostMs), pause.inVain + 1);
    if (verdict === "hopeless" && direction === "more") this.#noMore(trial.lostMs);
  }

  /** With more than `threads` the machine made a turn wait so long: no class goes on with more. */
  #crowd(threads: number, lostMs: number): void {
    for (const kind of ["prompt", "decode"] as const) {
      this.#first[kind] = Math.min(this.#first[kind], threads);
      for (const known of this.#known[kind].values())
        if (known.threads !== undefined) known.threads = Math.min(known.threads, threads);
    }
    this.#noMore(lostMs);
  }

  /** Nobody tries more threads for a while, nor goes on trying. */
  #noMore(lostMs: number): void {
    this.#pause(this.#crowded, COST_TIMES * lostMs, this.#crowded.inVain + 1);
    for (const classes of Object.values(this.#known))
      for (const known of classes.values()) if (known.begun?.direction === "more") known.begun = undefined;
  }

  #mayTryMore(known: Known, more: number): boolean {
    return this.#over(known.pauses.more) && this.#over(this.#crowded) && this.#hasCores(more);
  }

  #over({ untilMs }: Pause): boolean {
    return this.#computedMs >= untilMs;
  }

  #pause(pause: Pause, ms: number, inVain: number): void {
    pause.inVain = inVain;
    pause.untilMs = this.#computedMs + ms * 2 ** Math.min(Math.max(0, inVain - 1), DOUBLINGS_MAX);
  }

  #neighbours(threads: number): readonly [fewer: number | undefined, more: number | undefined] {
    const at = this.#counts.indexOf(threads);
    return [this.#counts[at - 1], this.#counts[at + 1]];
  }
}

function unknown(): Known {
  return {
    threads: undefined,
    begun: undefined,
    turns: 0,
    sinceTrial: SLOW_TURNS,
    slowInARow: 0,
    lately: [],
    latelyBy: 0,
    pauses: { more: { untilMs: 0, inVain: 0 }, fewer: { untilMs: 0, inVain: 0 } },
  };
}
