/**
 * The line of admissions that wait for another request to end. Bounded, and fair: who came first is tried first, and
 * nobody behind takes what one in front is waiting for, be it money or a place; who does not need it passes. Nobody waits past the moment it was
 * given; then it is tried one last time, past those in front, and refused where that fails too.
 *
 * Owns no money and knows no limits: `attempt` decides. Memory alone: who waits has a caller who waits.
 */
import type { AdmitVerdict } from "@sluice/protocol/account";

/** Beyond this an admission that cannot start at once is refused at once. */
export const WAITING_MAX = 256;

export type Tried = {
  readonly verdict: AdmitVerdict;
  /** What a refusal waits for, and in which scope; null where waiting would not help, or where it is no refusal. */
  readonly waitsFor: { readonly need: Need; readonly scope: string } | null;
};

/** A place is also room among the tokens of a minute: what a closing gives back beside money. */
export type Need = "money" | "place";

export type Desk<Ask> = {
  readonly attempt: (ask: Ask) => Tried;
  /** What it takes, where it is admitted. */
  readonly needs: (ask: Ask) => readonly Need[];
};

export type Served<Ask> = {
  readonly left: readonly Waiting<Ask>[];
  /** To be called once what was written is safe. */
  readonly answers: readonly (() => void)[];
};

export type Waiting<Ask> = {
  readonly ask: Ask;
  /** The scopes it needs room in: the account's and those of its keys. */
  readonly scopes: readonly string[];
  readonly untilMs: number;
  readonly answer: (verdict: AdmitVerdict) => void;
};

export class Line<Ask> {
  #waiting: Waiting<Ask>[] = [];

  join(newcomer: Waiting<Ask>): void {
    this.#waiting.push(newcomer);
  }

  /** When the first in line has to be answered; null where nobody waits. */
  get nextAtMs(): number | null {
    return this.#waiting[0]?.untilMs ?? null;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /**
   * Tries everyone in order. Changes nothing here: the caller keeps the outcome with `keep`, once what `attempt` wrote
   * is certain not to be rolled back.
   */
  serve(nowMs: number, { attempt, needs }: Desk<Ask>): Served<Ask> {
    const answers: (() => void)[] = [];
    const wanted = { money: new Set<string>(), place: new Set<string>() };
    const isWanted = ({ ask, scopes }: Waiting<Ask>): boolean => {
      const inFront = scopes.some((scope) => wanted.money.has(scope) || wanted.place.has(scope));
      return inFront && needs(ask).some((need) => scopes.some((scope) => wanted[need].has(scope)));
    };
    const left: Waiting<Ask>[] = [];
    for (const waiting of this.#waiting) {
      const mayWait = waiting.untilMs > nowMs && left.length < WAITING_MAX;
      if (mayWait && isWanted(waiting)) {
        left.push(waiting);
        continue;
      }
      const { verdict, waitsFor } = attempt(waiting.ask);
      if (waitsFor !== null && mayWait) {
        left.push(waiting);
        wanted[waitsFor.need].add(waitsFor.scope);
      } else {
        answers.push(() => waiting.answer(verdict));
      }
    }
    return { left, answers };
  }

  keep({ left, answers }: Served<Ask>): void {
    this.#waiting = [...left];
    for (const answer of answers) answer();
  }

  leave(waiting: Waiting<Ask>): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting);
  }
}
