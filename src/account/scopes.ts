/**
 * What the account and its keys have used of their limits, and what their running requests hold. Owns the counters.
 *
 * They cost no row of their own: the counters travel in the account's row, which every closing writes anyway, and what was
 * admitted since it was last written is found again in the holds, each of which knows the number of its admission. Tokens that a
 * request takes afterwards are not: a turn in which one does writes the account's row (`isChanged`). So a restart
 * forgets nothing. Only the keys used last travel; one that drops out of these is written to its own row, once, with the
 * account's.
 *
 * Invariant: row + holds whose number is higher = memory, after every turn; but for calls that repeat others.
 */
import type { AdmitAsk } from "@sluice/protocol/account";
import { ACCOUNT, type KnownKey } from "./admission.ts";
import { NO_COUNTERS, readCounters, type Counters } from "./counters.ts";
import type { Hold } from "./facts.ts";
import type { Keyring } from "./keyring.ts";
import { NOTHING_OPEN, type Scope, type Tally } from "./limits.ts";
import type { AccountState } from "./rows.ts";
import type { Store } from "./store.ts";
import { UNUSED, withRefund, withRepeat, withRequest, withSpending, withTokens, type Used } from "./used.ts";

/** Keys whose counters travel in the account's row: some 200 bytes each. */
export const KEYS_IN_ROW_MAX = 32;

export class Scopes {
  readonly #store: Store;
  readonly #keyring: Keyring;
  readonly #used: Map<string, Used>;
  readonly #tallies = new Map<string, Tally>();
  /** Requests that hold money. */
  readonly #holding = new Map<string, Pick<Hold, "heldNanoUsd" | "admittedAtMs">>();
  #admissions: number;
  #isChanged = false;

  constructor(store: Store, keyring: Keyring, account: AccountState | undefined) {
    this.#store = store;
    this.#keyring = keyring;
    const { admissions, used } = account === undefined ? NO_COUNTERS : readCounters(account.counters);
    this.#admissions = admissions;
    this.#used = new Map(Object.entries(used));
    if (account === undefined) return;
    const open = store.holds.open().toSorted((a, b) => (a.admission ?? 0) - (b.admission ?? 0));
    for (const hold of open) {
      this.count(hold, 1);
      if ((hold.admission ?? 0) <= admissions) continue;
      this.#admissions = Math.max(this.#admissions, hold.admission ?? 0);
      this.#each(account, hold.key, (used, limits) =>
        withRequest(used, limits, hold.tokens ?? 0, hold.admittedAtMs),
      );
    }
  }

  /** Account first, then the keys from the outermost inwards: the widest limit is named first. */
  of(account: AccountState, path: readonly KnownKey[]): Scope[] {
    const scopes: Scope[] = [this.#scope("account", ACCOUNT, account.limits)];
    for (const key of path.toReversed())
      scopes.push(this.#scope(key === path[0] ? "key" : "maker", key.id, key.limits));
    return scopes;
  }

  #scope(scope: Scope["scope"], id: string, limits: Scope["limits"]): Scope {
    return { scope, id, limits, used: this.used(id), tally: this.tally(id) };
  }

  used(id: string): Used {
    return this.#used.get(id) ?? (id === ACCOUNT ? UNUSED : (this.#store.keys.used(id) ?? UNUSED));
  }

  tally(id: string): Tally {
    return this.#tallies.get(id) ?? NOTHING_OPEN;
  }

  /** A request begins; returns the number of its admission. */
  begin(account: AccountState, ask: AdmitAsk, tokens: number, nowMs: number): number {
    this.#each(account, ask.key.id, (used, limits) => withRequest(used, limits, tokens, nowMs));
    this.#admissions += 1;
    return this.#admissions;
  }

  /** A call was told which one it repeats. */
  repeat(account: AccountState, key: string, nowMs: number): void {
    this.#each(account, key, (used, limits) => withRepeat(used, limits, nowMs));
  }

  /** Whether something was counted that neither the account's row nor a hold's admission says. */
  get isChanged(): boolean {
    return this.#isChanged;
  }

  /** More tokens than were counted, or fewer. */
  correct(account: AccountState, key: string, tokens: number, nowMs: number): void {
    if (tokens === 0) return;
    this.#each(account, key, (used, limits) => {
      const corrected = withTokens(used, limits, tokens, nowMs);
      this.#isChanged ||= corrected !== used;
      return corrected;
    });
  }

  /** A charge; or, where negative, money back that was charged at `chargedAtMs`. */
  spend(
    account: AccountState,
    key: string,
    nanoUsd: number,
    at: { chargedAtMs: number; nowMs: number },
  ): void {
    if (nanoUsd === 0) return;
    this.#each(account, key, (used) =>
      nanoUsd > 0
        ? withSpending(used, nanoUsd, at.nowMs)
        : withRefund(used, -nanoUsd, at.chargedAtMs, at.nowMs),
    );
  }

  #each(account: AccountState, key: string, change: (used: Used, limits: Scope["limits"]) => Used): void {
    this.#touch(ACCOUNT, change(this.used(ACCOUNT), account.limits));
    for (const { id, limits } of this.#keyring.path(key)) this.#touch(id, change(this.used(id), limits));
  }

  #touch(id: string, used: Used): void {
    this.#used.delete(id);
    this.#used.set(id, used);
  }

  /** A hold comes (1) or goes (-1). */
  count(hold: Hold, sign: 1 | -1): void {
    if (hold.state === "closed") return;
    if (sign < 0 || hold.heldNanoUsd === 0) this.#holding.delete(hold.request);
    else {
      const { heldNanoUsd, admittedAtMs } = hold;
      this.#holding.set(hold.request, { heldNanoUsd, admittedAtMs });
    }
    const open = hold.state === "open" ? sign : 0;
    for (const id of [ACCOUNT, ...this.#keyring.path(hold.key).map((key) => key.id)]) {
      const before = this.tally(id);
      const after = {
        open: before.open + open,
        heldNanoUsd: before.heldNanoUsd + sign * hold.heldNanoUsd,
        tokens: before.tokens + sign * (hold.tokens ?? 0),
      };
      if (after.open === 0 && after.heldNanoUsd === 0 && after.tokens === 0) this.#tallies.delete(id);
      else this.#tallies.set(id, after);
    }
  }

  /** What requests hold that were admitted before this moment. */
  heldBefore(ms: number): number {
    let sum = 0;
    for (const { heldNanoUsd, admittedAtMs } of this.#holding.values())
      if (admittedAtMs < ms) sum += heldNanoUsd;
    return sum;
  }

  /** What goes into the account's row. Keys that have no room in it are written to their own, first. */
  print(): string {
    this.#isChanged = false;
    for (const [id, used] of this.#used) {
      if (this.#used.size <= KEYS_IN_ROW_MAX + 1) break;
      if (id === ACCOUNT) continue;
      this.#store.keys.saveUsed(id, used);
      this.#used.delete(id);
    }
    return JSON.stringify({
      admissions: this.#admissions,
      used: Object.fromEntries(this.#used),
    } satisfies Counters);
  }
}
