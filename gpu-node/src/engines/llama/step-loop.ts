/**
 * Runs all tasks in step: one turn is a prefill chunk or one token for each of them, then the next turn.
 * Tasks join, leave and report between turns only, so nothing else needs a lock.
 * About `chunkTokens` prompt tokens are evaluated in a turn over all tasks together: running answers never pause for
 * more than one chunk, however many prompts wait. The oldest prompt gets half of a chunk at least, the rest goes to
 * the shortest: a short question does not wait for a long document, and a document is never starved by questions. Prompts
 * are cut into whole tiles, because what is less than one costs several times as much.
 * A turn that throws leaves the native context in an unknown state: `fatal` ends the process, and the supervisor
 * starts another.
 */
import type { Work } from "./batch.ts";
import type { Sampled } from "./sampler.ts";

export interface Run {
  /** The caller has gone: leave before the next turn. */
  readonly stopped: boolean;
  /** Prompt tokens to evaluate before the first token comes. */
  readonly prefillTokensLeft: number;
  /** Takes its slot; called once, before the first turn. */
  join(): Promise<void>;
  /** What this turn is to evaluate of it; "wait" with a share of 0 in its prompt, "done" where nothing is left to do. */
  next(prefillTokens: number): Work<Sampled> | "wait" | "done";
  /** The work was evaluated; `sampled` is what was chosen where it asked for it. */
  take(work: Work<Sampled>, sampled: Sampled | undefined): "more" | "done";
  /** Gives the slot back; called once, after the last turn. */
  leave(): void;
}

export type LoopHooks = {
  evaluate(works: readonly Work<Sampled>[]): Promise<readonly (Sampled | undefined)[]>;
  afterTurn(): void;
  fatal(error: unknown): void;
};

export class StepLoop {
  readonly #chunkTokens: (alone: boolean) => number;
  readonly #hooks: LoopHooks;
  readonly #joining: Run[] = [];
  #runs: Run[] = [];
  readonly #tileTokens: number;
  #turning = false;
  #turnsTaken = 0;

  /** `alone`: nobody else is in, so nobody waits for the turn. */
  constructor(chunkTokens: (alone: boolean) => number, tileTokens: number, hooks: LoopHooks) {
    this.#chunkTokens = chunkTokens;
    this.#tileTokens = tileTokens;
    this.#hooks = hooks;
  }

  add(run: Run): void {
    this.#joining.push(run);
    if (this.#turning) return;
    this.#turning = true;
    this.#turns().catch((error: unknown) => this.#hooks.fatal(error));
  }

  async #turns(): Promise<void> {
    // Bounded by the tasks: each ends after its ceiling of tokens, and no more of them are in than there are slots.
    while (this.#joining.length + this.#runs.length > 0) {
      for (let run = this.#joining.shift(); run !== undefined; run = this.#joining.shift()) {
        await run.join();
        this.#runs.push(run);
      }
      const done = new Set(this.#runs.filter((run) => run.stopped));
      await this.#turn(done);
      this.#runs = this.#runs.filter((run) => !done.has(run));
      for (const run of done) run.leave();
      this.#hooks.afterTurn();
    }
    this.#turning = false;
  }

  /** Adds those that have come to their end to `done`; who is in it already has no part. */
  async #turn(done: Set<Run>): Promise<void> {
    const runs = this.#runs.filter((run) => !done.has(run));
    this.#turnsTaken += 1;
    const shares = shareOut(
      runs.map((run) => run.prefillTokensLeft),
      this.#chunkTokens(runs.length === 1),
      this.#tileTokens,
      this.#turnsTaken % 2 === 0,
    );
    const workers: Run[] = [];
    const works: Work<Sampled>[] = [];
    for (const [i, run] of runs.entries()) {
      const work = run.next(shares[i] ?? 0);
      if (work === "wait") continue;
      if (work === "done") {
        done.add(run);
        continue;
      }
      workers.push(run);
      works.push(work);
    }
    if (works.length === 0) return;
    const sampled = await this.#hooks.evaluate(works);
    for (const [i, run] of workers.entries()) {
      const work = works[i];
      if (work !== undefined && run.take(work, sampled[i]) === "done") done.add(run);
    }
  }
}

/**
 * Who may evaluate how many prompt tokens in this turn; the oldest comes first in `wanted`. Neither a share nor what is left of a
 * prompt behind it is less than a tile, unless the prompt ends: for that a share may be less than a tile longer. Where the chunk
 * is a single tile the oldest and the shortest take turns: `shortestFirst` says whose it is.
 */
export function shareOut(
  wanted: readonly number[],
  total: number,
  tile: number,
  shortestFirst = false,
): readonly number[] {
  const shares = wanted.map(() => 0);
  let left = total;
  const give = (index: number, atMost: number): void => {
    const wants = (wanted[index] ?? 0) - (shares[index] ?? 0);
    const more = cut(wants, Math.min(atMost, left), tile);
    shares[index] = (shares[index] ?? 0) + more;
    left -= more;
  };
  const oldest = wanted.findIndex((want) => want > 0);
  if (oldest < 0) return shares;
  if (total >= 2 * tile || !shortestFirst) give(oldest, Math.ceil(total / 2 / tile) * tile);
  const byLength = [...wanted.keys()].sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0) || a - b);
  for (const index of byLength) give(index, left);
  return shares;
}

/** About `atMost` of `wants`. */
function cut(wants: number, atMost: number, tile: number): number {
  if (atMost <= 0 || wants <= atMost) return Math.max(0, Math.min(wants, atMost));
  const tiles = Math.floor(atMost / tile) * tile;
  if (wants - tiles >= tile) return tiles;
  return tiles >= 2 * tile ? tiles - tile : wants;
}
