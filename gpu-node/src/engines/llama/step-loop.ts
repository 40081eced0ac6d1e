/**
 * Runs all tasks in step: one turn is a prefill chunk or one token for each of them, then the next turn. Tasks on
 * their own would drift apart and decode in batches of one or two; in step the batch is whole (two CPU cores, 8 streams:
 * 1,600 instead of 1,180 tokens/s). Tasks join, leave and report between turns only, so nothing else needs a lock.
 * At most `chunkTokens` prompt tokens are evaluated in a turn over all tasks together, first come first served: running
 * answers never pause for more than one chunk, however many prompts wait.
 * A turn that throws leaves the native context in an unknown state: `fatal` ends the process, and the supervisor
 * starts another.
 */
export interface Run {
  /** The caller has gone: leave before the next turn. */
  readonly stopped: boolean;
  /** Prompt tokens to evaluate before the first token comes. */
  readonly prefillTokensLeft: number;
  /** Takes its slot; called once, before the first turn. */
  join(): Promise<void>;
  /** With `prefillTokens` 0, a task still in its prompt waits for the next turn. */
  turn(prefillTokens: number): Promise<"more" | "done">;
  /** Gives the slot back; called once, after the last turn. */
  leave(): Promise<void>;
}

export class StepLoop {
  readonly #chunkTokens: number;
  readonly #afterTurn: () => void;
  readonly #fatal: (error: unknown) => void;
  readonly #joining: Run[] = [];
  #runs: Run[] = [];
  #turning = false;

  constructor(chunkTokens: number, hooks: { afterTurn: () => void; fatal: (error: unknown) => void }) {
    this.#chunkTokens = chunkTokens;
    this.#afterTurn = hooks.afterTurn;
    this.#fatal = hooks.fatal;
  }

  add(run: Run): void {
    this.#joining.push(run);
    if (this.#turning) return;
    this.#turning = true;
    this.#turns().catch(this.#fatal);
  }

  async #turns(): Promise<void> {
    // Bounded by the tasks: each ends after its ceiling of tokens, and no more of them are in than there are slots.
    while (this.#joining.length + this.#runs.length > 0) {
      for (let run = this.#joining.shift(); run !== undefined; run = this.#joining.shift()) {
        await run.join();
        this.#runs.push(run);
      }
      await this.#leave((run) => run.stopped);
      const shares = shareOut(
        this.#runs.map((run) => run.prefillTokensLeft),
        this.#chunkTokens,
      );
      const outcomes = await Promise.all(this.#runs.map((run, i) => run.turn(shares[i] ?? 0)));
      const done = new Set(this.#runs.filter((_, i) => outcomes[i] === "done"));
      await this.#leave((run) => done.has(run));
      this.#afterTurn();
    }
    this.#turning = false;
  }

  async #leave(goes: (run: Run) => boolean): Promise<void> {
    const leaving = this.#runs.filter(goes);
    if (leaving.length === 0) return;
    this.#runs = this.#runs.filter((run) => !leaving.includes(run));
    for (const run of leaving) await run.leave();
  }
}

/** Who may evaluate how many prompt tokens in this turn. */
export function shareOut(wanted: readonly number[], total: number): readonly number[] {
  let left = total;
  return wanted.map((want) => {
    const share = Math.min(want, left);
    left -= share;
    return share;
  });
}
