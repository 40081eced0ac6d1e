/**
 * Keeps the journal below its limit. What an edge has acknowledged is kept for a week because somebody may ask for it; where
 * the room is needed, the longest acknowledged goes earlier. What no edge has acknowledged is money and never goes: when the
 * journal is full of that, no new call is taken (`journal_full`), because its receipt could not be kept.
 *
 * Bytes in use are counted, not the file's: SQLite uses freed pages again and gives none back.
 */
import type { Receipts } from "./receipts.ts";

/** What is over the limit is brought down to this part of it: not every call is to find a full journal again. */
const DOWN_TO = 0.9;
/** Looking costs two pragmas; a second's calls are a small part of any limit. */
const LOOK_INTERVAL_MS = 1_000;
/** Attempts forgotten in one look; the rest waits for the next. */
const FORGOTTEN_PER_LOOK_MAX = 2_000;

export type Look = { readonly full: boolean; readonly forgotten: number };

export class JournalRoom {
  readonly #receipts: Receipts;
  readonly #bytesMax: number;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #full = false;

  constructor(receipts: Receipts, bytesMax: number) {
    this.#receipts = receipts;
    this.#bytesMax = bytesMax;
  }

  /** Whether a new call's receipt may have no place; as of the last second. `nowMs`: any clock that only rises. */
  look(nowMs: number): Look {
    if (nowMs - this.#lookedAtMs < LOOK_INTERVAL_MS) return { full: this.#full, forgotten: 0 };
    this.#lookedAtMs = nowMs;
    let forgotten = 0;
    if (this.#receipts.usedBytes() > this.#bytesMax)
      while (forgotten < FORGOTTEN_PER_LOOK_MAX && this.#receipts.usedBytes() > this.#bytesMax * DOWN_TO) {
        const step = this.#receipts.forgetOldest();
        if (step === 0) break;
        forgotten += step;
      }
    this.#full = this.#receipts.usedBytes() > this.#bytesMax;
    return { full: this.#full, forgotten };
  }
}
