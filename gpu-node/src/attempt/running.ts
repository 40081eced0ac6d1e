/**
 * The attempts that run now, by name: for renewals in beats, for commands that name one, for load and for drains, of the
 * whole node or of one of its models. Memory alone; the journal is what survives.
 */
import type { AttemptName, Renewal } from "@sluice/protocol/beat";
import { RENEW_FIRST_MS, RENEW_INTERVAL_MS } from "@sluice/protocol/limits";
import type { Attempt } from "./attempt.ts";
import type { StopEnding } from "./stopped.ts";

/** A first renewal leaves well before it is due: the beat that carries it may have to be repeated. */
const RENEW_FIRST_SENT_MS = RENEW_FIRST_MS - 5_000;

/** What the beat, a drain and the load want of whatever runs. */
export type Runs = Pick<Attempt, "stop" | "position" | "prefillTokensPending" | "contextTokens">;

/** Where an attempt runs: compared, and nothing else. */
export type Place = object;

type Entry = {
  readonly attempt: Runs;
  readonly place: Place;
  /** Undefined in standalone: nobody holds money for it. */
  readonly ticket: string | undefined;
  renewAtMs: number;
};

type Waiter = { readonly place: Place | undefined; readonly told: () => void };

export function nameKey(name: AttemptName): string {
  return `${name.request}/${name.ordinal}/${name.choice}`;
}

export class Running {
  readonly #entries = new Map<string, Entry>();
  #waiters: Waiter[] = [];

  add(
    key: string,
    attempt: Runs,
    { place, ticket }: { readonly place: Place; readonly ticket: string | undefined },
    nowMs: number,
  ): void {
    this.#entries.set(key, { attempt, place, ticket, renewAtMs: nowMs + RENEW_FIRST_SENT_MS });
  }

  delete(key: string): void {
    this.#entries.delete(key);
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ place }) => this.#at(place).length > 0);
    for (const waiter of waiters) if (!this.#waiters.includes(waiter)) waiter.told();
  }

  get size(): number {
    return this.#entries.size;
  }

  stop(key: string, ending: StopEnding): void {
    this.#entries.get(key)?.attempt.stop(ending);
  }

  /** Without a place: everywhere. */
  stopAll(ending: StopEnding, place?: Place): void {
    for (const { attempt } of this.#at(place)) attempt.stop(ending);
  }

  /** Resolves when nothing runs any more, there or anywhere. */
  empty(place?: Place): Promise<void> {
    if (this.#at(place).length === 0) return Promise.resolve();
    return new Promise((told) => this.#waiters.push({ place, told }));
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

  prefillTokensPending(place: Place): number {
    return this.#at(place).reduce((sum, { attempt }) => sum + attempt.prefillTokensPending, 0);
  }

  contextTokens(place: Place): number {
    return this.#at(place).reduce((sum, { attempt }) => sum + attempt.contextTokens, 0);
  }

  #at(place: Place | undefined): readonly Entry[] {
    const entries = [...this.#entries.values()];
    return place === undefined ? entries : entries.filter((entry) => entry.place === place);
  }
}
