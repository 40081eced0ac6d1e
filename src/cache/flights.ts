/**
 * Identical requests of one account that run in this isolate at the same time run once: the first leads, the others
 * wait for its finished answer. If the leader fails one of them takes over; if its answer cannot be shared, all go
 * alone.
 *
 * What is handed over is plain memory, never a stream or a promise of I/O: workerd ties those to the request that began
 * them. A leader whose request dies without a word is no trap either, because every follower looks by its own timer
 * and stops looking after its own time.
 */

export type Landing<Answer> =
  | { readonly kind: "answer"; readonly answer: Answer }
  /** It ended, and one of those who wait shall try again. */
  | { readonly kind: "failed" }
  /** It ended well, with something that is its client's alone. */
  | { readonly kind: "not_for_others" };

type Flight<Answer> = { landing: Landing<Answer> | undefined; readonly begunAtMs: number };

/** Beyond this, requests run alone. */
const FLIGHTS_MAX = 10_000;
/** How soon a follower notices; it grows with the time waited, so that a hundred followers cost little. */
const LOOK_FIRST_MS = 2;
const LOOK_MS_MAX = 50;

export type Lead<Answer> = { land(landing: Landing<Answer>): void };

export type Follow<Answer> =
  | { readonly kind: "answer"; readonly answer: Answer }
  /** Run it, and land it. */
  | { readonly kind: "lead"; readonly lead: Lead<Answer> }
  | { readonly kind: "alone" };

export class Flights<Answer> {
  readonly #flights = new Map<string, Flight<Answer>>();

  get size(): number {
    return this.#flights.size;
  }

  /** Waits for the one that runs, or becomes it. `gone` says that nobody waits for this request any more. */
  async join(
    name: string,
    limits: {
      readonly waitMs: number;
      nowMs(): number;
      pause(ms: number): Promise<void>;
      gone(): boolean;
    },
  ): Promise<Follow<Answer>> {
    const untilMs = limits.nowMs() + limits.waitMs;
    for (;;) {
      const flight = this.#flights.get(name);
      // One that has run for so long may be dead, and would not be worth the wait if it were not.
      if (flight === undefined || limits.nowMs() - flight.begunAtMs > limits.waitMs) {
        if (this.#flights.size >= FLIGHTS_MAX) return { kind: "alone" };
        return { kind: "lead", lead: this.#begin(name, limits.nowMs()) };
      }
      const landing = await watch(flight, untilMs, limits);
      if (landing === undefined || landing.kind === "not_for_others") return { kind: "alone" };
      if (landing.kind === "answer") return landing;
    }
  }

  #begin(name: string, begunAtMs: number): Lead<Answer> {
    const flight: Flight<Answer> = { landing: undefined, begunAtMs };
    this.#flights.set(name, flight);
    return {
      land: (landing) => {
        // The first landing counts; the flight may have been given up by then.
        flight.landing ??= landing;
        if (this.#flights.get(name) === flight) this.#flights.delete(name);
      },
    };
  }
}

async function watch<Answer>(
  flight: Flight<Answer>,
  untilMs: number,
  limits: { nowMs(): number; pause(ms: number): Promise<void>; gone(): boolean },
): Promise<Landing<Answer> | undefined> {
  let lookMs = LOOK_FIRST_MS;
  while (flight.landing === undefined) {
    if (limits.nowMs() >= untilMs || limits.gone()) return undefined;
    await limits.pause(lookMs);
    lookMs = Math.min(LOOK_MS_MAX, lookMs * 2);
  }
  return flight.landing;
}
