/**
 * Calls whose MAC was good, while they are valid: those still being looked at, and those refused. Both matter to
 * promises made elsewhere: `complete through` must not pass a call that may yet begin, and a refused call must not be
 * played again. What began is in the journal, which refuses its replay for longer.
 *
 * Bounded: a call leaves after its last valid moment; at most CALLS_MAX are remembered, beyond which calls are refused.
 * Pure but for its memory; the edge's time is an argument.
 */
import { CALL_VALID_MS } from "@sluice/protocol/limits";

/** Ten seconds' worth of far more calls than a node can take. */
const CALLS_MAX = 20_000;

type Entry = { readonly lastValidMs: number; settled: boolean };

export type Looking = "new" | "replayed" | "too_many";

export class Admitting {
  readonly #calls = new Map<string, Entry>();

  /** Takes note of a call before anything is done about it. */
  look(name: string, issuedAtMs: number, edgeNowMs: number): Looking {
    if (this.#calls.has(name)) return "replayed";
    if (this.#calls.size >= CALLS_MAX) this.#forget(edgeNowMs);
    if (this.#calls.size >= CALLS_MAX) return "too_many";
    this.#calls.set(name, { lastValidMs: issuedAtMs + CALL_VALID_MS, settled: false });
    return "new";
  }

  /** It was refused, or its beginning is in the journal: it holds up no promise any more. */
  settle(name: string): void {
    const entry = this.#calls.get(name);
    if (entry !== undefined) entry.settled = true;
  }

  /** Last valid moments of calls that may yet begin. */
  pending(edgeNowMs: number): readonly number[] {
    this.#forget(edgeNowMs);
    return [...this.#calls.values()].filter((entry) => !entry.settled).map((entry) => entry.lastValidMs);
  }

  #forget(edgeNowMs: number): void {
    for (const [name, entry] of this.#calls)
      if (entry.settled && entry.lastValidMs < edgeNowMs) this.#calls.delete(name);
  }
}
