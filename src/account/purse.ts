/**
 * The account's own row while a turn runs: its settings, its balance with the granted part of it, and the number of its
 * newest event. Every change of the balance is made here and has an event; the row is written once a turn.
 *
 * Invariant: 0 <= granted <= max(0, balance). Memory repeats the row; a turn that failed throws this away.
 */
import type { UsageEvent } from "@sluice/protocol/account-log";
import type { CreditAnswer, CreditGiven } from "../core/account.ts";
import { assert } from "../core/assert.ts";
import { BALANCE_NANO_USD_MAX } from "../core/money.ts";
import type { Hold } from "./facts.ts";
import { addGrants, endGrants, grantedNanoUsd, refund, takeGranted, type Grants } from "./grants.ts";
import type { AccountState } from "./rows.ts";
import type { Store } from "./store.ts";

/** `given_before`: this very credit. The rest is refused: see `CreditAnswer`. */
export type Crediting = "given" | "given_before" | NonNullable<CreditAnswer["refused"]>;

export class Purse {
  readonly #store: Store;
  #account: AccountState | undefined;
  #saved: AccountState | undefined;
  #appliedSeq: number;

  constructor(store: Store) {
    this.#store = store;
    this.#account = this.#saved = store.account;
    this.#appliedSeq = this.#account?.appliedSeq ?? 0;
    store.log.confirm(this.#appliedSeq);
  }

  get account(): AccountState | undefined {
    return this.#account;
  }

  get appliedSeq(): number {
    return this.#appliedSeq;
  }

  /** D1 has everything through here. Not worth a row of its own: it travels with the next one that is written. */
  set appliedSeq(seq: number) {
    this.#appliedSeq = Math.max(this.#appliedSeq, Math.min(seq, this.#account?.lastSeq ?? 0));
    this.#store.log.confirm(this.#appliedSeq);
  }

  change(account: AccountState): void {
    this.#account = account;
  }

  /**
   * Ends a turn: the row is written once, however many requests moved it, and `counters` travel in it, as do the
   * free slots and the newest of the log (store.ts). True where there are new events.
   */
  save(counters: { readonly isChanged: boolean; print(): string }): boolean {
    const newEvents = this.#account?.lastSeq !== this.#saved?.lastSeq;
    const isChanged = this.#account !== this.#saved || this.#store.isChanged || counters.isChanged;
    if (this.#account !== undefined && isChanged) {
      this.#store.saveAccount({ ...this.#account, appliedSeq: this.#appliedSeq, counters: counters.print() });
      this.#saved = this.#account;
    }
    return newEvents;
  }

  nextSeq(): number {
    assert(this.#account !== undefined, "only an account that exists has events");
    const lastSeq = this.#account.lastSeq + 1;
    this.#account = { ...this.#account, lastSeq };
    return lastSeq;
  }

  /**
   * Takes from the balance, granted money first, and says what of it was granted. Of grants that had ended when the request
   * began nothing is its, as long as anything else is there.
   */
  charge(nanoUsd: number, beganAtMs: number): Grants {
    assert(this.#account !== undefined, "only an account that exists is charged");
    const balanceNanoUsd = this.#account.balanceNanoUsd - nanoUsd;
    const own = takeGranted(this.#account.grants, nanoUsd, beganAtMs);
    const more = takeGranted(own.grants, grantedNanoUsd(own.grants) - Math.max(0, balanceNanoUsd));
    this.#account = { ...this.#account, balanceNanoUsd, grants: more.grants };
    return addGrants(own.taken, more.taken);
  }

  /** Charges a request, or gives back what it was charged too much, to where it came from. */
  settle(
    hold: Hold,
    chargedNanoUsd: number,
  ): { readonly fromGrants: Grants; readonly grantedNanoUsd: number } {
    const before = hold.fromGrants ?? [];
    if (chargedNanoUsd >= 0) {
      const taken = this.charge(chargedNanoUsd, hold.admittedAtMs);
      return { fromGrants: addGrants(before, taken), grantedNanoUsd: grantedNanoUsd(taken) };
    }
    assert(this.#account !== undefined, "only an account that exists is paid back");
    const { back, fromGrants } = refund(hold.postedNanoUsd, before, -chargedNanoUsd);
    const balanceNanoUsd = this.#account.balanceNanoUsd - chargedNanoUsd;
    this.#account = { ...this.#account, balanceNanoUsd, grants: addGrants(this.#account.grants, back) };
    return { fromGrants, grantedNanoUsd: 0 - grantedNanoUsd(back) };
  }

  /** Anything but `given` changes nothing. */
  credit(credit: CreditGiven, nowMs: number): Crediting {
    assert(this.#account !== undefined, "only an account that exists is credited");
    const { creditId, amountNanoUsd, note, kind = "topped_up", expiresAtMs = null } = credit;
    const terms = `${kind} ${amountNanoUsd}`;
    const known = this.#store.creditTerms(creditId);
    if (known !== undefined) return known === null || known === terms ? "given_before" : "other_credit";
    const balanceNanoUsd = this.#account.balanceNanoUsd + amountNanoUsd;
    const grows = Math.abs(balanceNanoUsd) > Math.abs(this.#account.balanceNanoUsd);
    if (grows && Math.abs(balanceNanoUsd) > BALANCE_NANO_USD_MAX) return "beyond_balance";
    this.#store.addCredit(creditId, terms);
    const isGrant = kind === "granted";
    let { grants } = this.#account;
    if (isGrant && amountNanoUsd > 0)
      grants = addGrants(grants, [{ leftNanoUsd: amountNanoUsd, expiresAtMs }]);
    if (isGrant && amountNanoUsd < 0) grants = takeGranted(grants, -amountNanoUsd).grants;
    // A correction beyond what was topped up takes the rest from what was granted.
    grants = takeGranted(grants, grantedNanoUsd(grants) - Math.max(0, balanceNanoUsd)).grants;
    this.#account = { ...this.#account, balanceNanoUsd, grants };
    const of = isGrant ? ({ credit: kind, expiresAtMs } as const) : {};
    const event = {
      kind: "credit",
      seq: this.nextSeq(),
      creditId,
      amountNanoUsd,
      note,
      atMs: nowMs,
    } as const;
    this.#store.log.append({ ...event, ...of }, nowMs, null);
    return "given";
  }

  /** Takes what is left of grants that have ended off the balance, except for what requests hold that began before. */
  endGrants(heldBefore: (endMs: number) => number, nowMs: number): void {
    if (this.#account === undefined) return;
    const { grants, endedNanoUsd: ended } = endGrants(this.#account.grants, heldBefore, nowMs);
    if (ended === 0) return;
    this.#account = { ...this.#account, balanceNanoUsd: this.#account.balanceNanoUsd - ended, grants };
    const seq = this.nextSeq();
    const event = {
      kind: "credit",
      seq,
      creditId: `ended-${seq}`,
      amountNanoUsd: -ended,
      atMs: nowMs,
    } as const;
    this.#store.log.append({ ...event, note: "granted credit ended", credit: "granted" }, nowMs, null);
  }
}

/** Says in an event how much of its charge was granted; nothing where nothing was. */
export function withGranted(event: UsageEvent, nanoUsd: number): UsageEvent {
  return nanoUsd === 0 ? event : { ...event, grantedNanoUsd: nanoUsd };
}
