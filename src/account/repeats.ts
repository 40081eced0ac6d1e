/**
 * Which request an `Idempotency-Key` stands for. Owns the `repeats` table: one row per key that was given, written in the
 * turn that admits its request, for a day. So of two calls with the same key that arrive together one is admitted and the
 * other is told which.
 *
 * The state of that request is not kept here: it runs while it has a hold that is not closed, and is over afterwards. A
 * request that came to nothing, and was billed nothing, gives its key free: its row goes with its closing.
 */
import type { AdmitAsk, AdmitRefusal } from "@sluice/protocol/account";
import { repeatName } from "./repeat-name.ts";
import type { Store } from "./store.ts";

const LIVES_MS = 24 * 60 * 60_000;
/** What is too old is cleared away this much later, with what has come to its end meanwhile. */
const PRUNE_EVERY_MS = 60 * 60_000;
/** Rows that are looked at in one turn. The table is gone over from end to end, in as many turns as that takes. */
export const SWEEP_ROWS = 1_000;
const BEGINNING = "";

export class Repeats {
  readonly #store: Store;
  /** No row that was seen is older; null where none was. */
  #oldestMs: number | null = null;
  /** How far the sweep has come; null where none is under way. The first alarm after waking begins one. */
  #sweptTo: string | null = BEGINNING;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Why this call starts nothing; null where its key is new, or free again. */
  find(
    ask: AdmitAsk,
    nowMs: number,
    opens: { readonly cacheSalt: string; readonly pinned: boolean },
  ): AdmitRefusal | null {
    const name = repeatName(ask);
    const known = name === undefined ? undefined : this.#store.repeats.get(name);
    if (known === undefined || known.atMs + LIVES_MS <= nowMs) return null;
    const { request } = known;
    const hold = this.#store.holds.get(request);
    const running = hold !== undefined && hold.state !== "closed";
    const same = known.body === ask.idempotency?.body;
    const state = !same ? "changed" : running ? "running" : "completed";
    return { kind: "idempotency_conflict", state, request, ...opens };
  }

  keep(ask: AdmitAsk, nowMs: number): void {
    const name = repeatName(ask);
    if (name === undefined || ask.idempotency === undefined) return;
    this.#store.repeats.save(name, { request: ask.request, body: ask.idempotency.body, atMs: nowMs });
    this.#oldestMs ??= nowMs;
  }

  /** The request came to nothing: its key may be used again. */
  release(name: string, request: string): void {
    this.#store.repeats.drop(name, request);
  }

  /** When rows are to be cleared away; null where there are none. In the past while a sweep is under way. */
  get pruneAtMs(): number | null {
    if (this.#sweptTo !== null && this.#sweptTo !== BEGINNING) return 0;
    return this.#oldestMs === null ? null : this.#oldestMs + LIVES_MS + PRUNE_EVERY_MS;
  }

  /** One turn's worth of it. */
  prune(nowMs: number): void {
    if (this.#sweptTo === null) {
      if (this.pruneAtMs === null || nowMs < this.pruneAtMs) return;
      this.#sweptTo = BEGINNING;
      this.#oldestMs = null;
    }
    const { upto, oldestLeftMs } = this.#store.repeats.sweep(this.#sweptTo, nowMs - LIVES_MS, SWEEP_ROWS);
    this.#sweptTo = upto;
    if (oldestLeftMs !== null) this.#oldestMs = Math.min(this.#oldestMs ?? oldestLeftMs, oldestLeftMs);
  }
}
