/**
 * The attempts that run now, by name: for renewals in beats, for commands that name one, for load and for the drain.
 * Memory alone; the journal is what survives.
 */
import type { AttemptName, Renewal } from "@sluice/protocol/beat";
import { RENEW_FIRST_MS, RENEW_INTERVAL_MS } from "@sluice/protocol/limits";
import type { Attempt } from "./attempt.ts";
import type { StopEnding } from "./stopped.ts";

/** A first renewal leaves well before it is due: the beat that carries it may have to be repeated. */
const RENEW_FIRST_SENT_MS = RENEW_FIRST_MS - 5_000;

type Entry = {
  readonly attempt: Attempt;
  /** Undefined in standalone: nobody holds money for it. */
  readonly ticket: string | undefined;
  renewAtMs: number;
};

export function nameKey(name: AttemptName): string {
  return `${name.request}/${name.ordinal}/${name.choice}`;
}

export class Running {
  readonly #entries = new Map<string, Entry>();
  #onEmpty: (() => void)[] = [];

  add(key: string, attempt: Attempt, ticket: string | undefined, nowMs: number): void {
    this.#entries.set(key, { attempt, ticket, renewAtMs: nowMs + RENEW_FIRST_SENT_MS });
  }

  delete(key: string): void {
    this.#entries.delete(key);
    if (this.#entries.size > 0) return;
    for (const told of this.#onEmpty.splice(0)) told();
  }

  get size(): number {
    return this.#entries.size;
  }

  stop(key: string, ending: StopEnding): void {
    this.#entries.get(key)?.attempt.stop(ending);
  }

  stopAll(ending: StopEnding): void {
    for (const { attempt } of this.#entries.values()) attempt.stop(ending);
  }

  empty(): Promise<void> {
    if (this.#entries.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  /** Those whose renewal is due, the longest due first. */
  renewals(nowMs: number, countMax: number): readonly Renewal[] {
    const due = [...this.#entries.values()].filter((entry) => entry.renewAtMs <= nowMs);
    due.sort((a, b) => a.renewAtMs - b.renewAtMs);
    return due
      .slice(0, countMax)
      .flatMap(({ ticket, attempt }) =>
        ticket === undefined ? [] : [{ ticket, position: attempt.position }],
      );
  }

  renewed(names: readonly AttemptName[], nowMs: number): void {
    for (const name of names) {
      const entry = this.#entries.get(nameKey(name));
      if (entry !== undefined) entry.renewAtMs = nowMs + RENEW_INTERVAL_MS;
    }
  }

  get prefillTokensPending(): number {
    let tokens = 0;
    for (const { attempt } of this.#entries.values()) tokens += attempt.prefillTokensPending;
    return tokens;
  }

  get contextTokens(): number {
    let tokens = 0;
    for (const { attempt } of this.#entries.values()) tokens += attempt.contextTokens;
    return tokens;
  }
}
