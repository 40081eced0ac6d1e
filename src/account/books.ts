/**
 * The books of one account: its balance, what is held of it, who is open, and the log of what happened. The one place
 * where these change; every method is one step of a turn and finishes without waiting for anything.
 *
 * Invariant: held <= balance whenever something was admitted, and what a request is charged never exceeds what was held
 * for it. All of it is in SQLite. Memory repeats the account's row (purse.ts), the keys in use (keyring.ts) and what is used of the
 * limits (scopes.ts), so that an admission reads nothing it does not have to; after a turn that failed the object throws
 * these books away and reads new ones.
 */
import type { UsageEvent } from "@sluice/protocol/account-log";
import type { CreditGiven, RunningRequest } from "../core/account.ts";
import { assert } from "../core/assert.ts";
import { ACCOUNT } from "./admission.ts";
import { AnswerRules } from "./answers.ts";
import { LATEST_MS, type Clocks } from "./clocks.ts";
import type { Hold } from "./facts.ts";
import { Keyring } from "./keyring.ts";
import { running } from "./look.ts";
import { Purse, type Crediting } from "./purse.ts";
import { Repeats } from "./repeats.ts";
import type { AccountState } from "./rows.ts";
import { Scopes } from "./scopes.ts";
import type { Store } from "./store.ts";

export class Books {
  readonly store: Store;
  readonly clocks: Clocks;
  readonly answers: AnswerRules;
  readonly purse: Purse;
  readonly keyring: Keyring;
  readonly scopes: Scopes;
  readonly repeats: Repeats;
  /** When the earliest of the holds this turn wrote is due; null where none was. */
  #dueAtMs: number | null = null;

  constructor(store: Store, clocks: Clocks) {
    this.store = store;
    this.clocks = clocks;
    this.answers = new AnswerRules(store);
    this.purse = new Purse(store);
    this.repeats = new Repeats(store);
    this.keyring = new Keyring(store);
    this.scopes = new Scopes(store, this.keyring, this.purse.account);
  }

  get account(): AccountState | undefined {
    return this.purse.account;
  }

  get heldNanoUsd(): number {
    return this.scopes.tally(ACCOUNT).heldNanoUsd;
  }

  /** Ends a turn: the account's row is written once, however many requests moved it. */
  finishTurn(): { readonly dueAtMs: number | null; readonly newEvents: boolean } {
    const newEvents = this.purse.save(this.scopes);
    const dueAtMs = this.#dueAtMs;
    this.#dueAtMs = null;
    return { dueAtMs, newEvents };
  }

  /** Takes grants that have ended off the balance, except for what requests hold of them that began before. */
  endGrants(nowMs: number): void {
    this.purse.endGrants((endMs) => this.scopes.heldBefore(endMs), nowMs);
  }

  credit(credit: CreditGiven, nowMs: number): Crediting {
    const { expiresAtMs = null } = credit;
    if (expiresAtMs !== null) this.#lookAgainBy(expiresAtMs);
    return this.purse.credit(credit, nowMs);
  }

  /** A request that runs, or the newest that the log still says of it. */
  requestNow(request: string): RunningRequest | UsageEvent | null {
    const hold = this.store.holds.get(request);
    const told = this.store.log.newestOf(request, this.account?.lastSeq ?? 0);
    return told ?? (hold === undefined ? null : running(hold));
  }

  /** The last state of a request that was closed a moment ago and has no row any more. */
  recall(request: string): Hold | undefined {
    return this.store.log.recall(request, this.account?.lastSeq ?? 0);
  }

  spend(key: string, nanoUsd: number, nowMs: number, chargedAtMs = nowMs): void {
    assert(this.account !== undefined, "only an account that exists spends");
    this.scopes.spend(this.account, key, nanoUsd, { chargedAtMs, nowMs });
  }

  /** A request begins: its hold is in its row, and counts. */
  begin(hold: Hold): void {
    this.scopes.count(hold, 1);
    this.store.holds.add(hold);
    this.#lookAgainBy(hold.dueAtMs);
  }

  /** The one way a known hold changes, or goes, so that the sums in memory cannot drift from the rows. */
  replace(before: Hold, after: Hold | undefined): void {
    this.scopes.count(before, -1);
    if (after === undefined) return this.store.holds.free(before.request);
    this.scopes.count(after, 1);
    this.store.holds.save(after);
    if (after.state !== "closed") this.#lookAgainBy(after.dueAtMs);
  }

  #lookAgainBy(atMs: number): void {
    this.#dueAtMs = Math.min(this.#dueAtMs ?? LATEST_MS, atMs);
  }
}
