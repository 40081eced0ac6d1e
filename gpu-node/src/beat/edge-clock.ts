/**
 * The edge's clock as this node can know it: from a beat's reply and its round trip. Pure; the caller brings the node's
 * own monotonic time, so a step of the wall clock changes nothing.
 *
 * Invariant: `now` never falls. Freshness and `complete through` are both judged by it, so an error of the estimate
 * (at most half a round trip) cannot make one break the other's promise.
 */

/** A sample this old no longer beats a newer one with a longer round trip: clocks drift. */
const SAMPLE_AGE_MAX_MS = 60_000;

type Sample = { readonly offsetMs: number; readonly roundTripMs: number; readonly takenAtMs: number };

export class EdgeClock {
  #best: Sample | undefined;
  #lastNowMs = 0;
  #firstReplyMs: number | undefined;

  learn(edgeTimeMs: number, sentAtMs: number, receivedAtMs: number): void {
    const roundTripMs = Math.max(0, receivedAtMs - sentAtMs);
    const sample = {
      offsetMs: edgeTimeMs - (sentAtMs + roundTripMs / 2),
      roundTripMs,
      takenAtMs: receivedAtMs,
    };
    this.#firstReplyMs ??= edgeTimeMs;
    const best = this.#best;
    const old = best === undefined || receivedAtMs - best.takenAtMs > SAMPLE_AGE_MAX_MS;
    if (old || roundTripMs <= best.roundTripMs) this.#best = sample;
  }

  get known(): boolean {
    return this.#best !== undefined;
  }

  /** The edge's time in the first reply of this boot: no call issued before it is taken. */
  get firstReplyMs(): number | undefined {
    return this.#firstReplyMs;
  }

  now(monotonicMs: number): number {
    if (this.#best === undefined) return this.#lastNowMs;
    this.#lastNowMs = Math.max(this.#lastNowMs, Math.floor(monotonicMs + this.#best.offsetMs));
    return this.#lastNowMs;
  }
}
