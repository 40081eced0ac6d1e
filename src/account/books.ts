/**
 * The books of one account: its balance, what is held of it, who is open, and the log of what happened. The one place
 * where these change; every method is one step of a turn and finishes without waiting for anything.
 *
 * Invariant: held <= balance whenever something was admitted, and what a request is charged never exceeds what was held
 * for it. All of it is in SQLite. Memory repeats the account's row (purse.ts), the keys in use (keyring.ts) and what is used of the
 * limits (scopes.ts), so that an admission reads nothing it does not have to; after a turn that failed the object throws
 * these books away and reads new ones.
 */
import type {
  AdmitAsk,
  AdmitRefusal,
  CheckedReceipt,
  ExtendAsk,
  ExtendVerdict,
  Flagged,
  HitAsk,
  Word,
  WordAck,
} from "@sluice/protocol/account";
import type { UsageEvent } from "@sluice/protocol/account-log";
import type { CreditGiven, RunningRequest } from "../core/account.ts";
import { assert } from "../core/assert.ts";
import { hitCostNanoUsd } from "../core/money.ts";
import { AnswerRules } from "./answers.ts";
import { ACCOUNT, allowedRegions, decideAdmission } from "./admission.ts";
import type { Clocks } from "./clocks.ts";
import { cameToNothing, decide, type Closing } from "./close.ts";
import {
  flagOf,
  isExtendable,
  newHold,
  noteExtension,
  noteReceipt,
  noteRenewal,
  noteWord,
  type Hold,
  type RenewalAsk,
} from "./facts.ts";
import { grantedNanoUsd } from "./grants.ts";
import { worstCostNanoUsd } from "./hold.ts";
import { Keyring } from "./keyring.ts";
import { budgetRoomNanoUsd, extensionRefusal } from "./limits.ts";
import type { Tried } from "./line.ts";
import { running } from "./look.ts";
import { pinnedSalt } from "./pinned-salt.ts";
import { afterClosing, closedEvent, hitEvent, isCorrection, pendingEvent, post } from "./post.ts";
import { Purse, withGranted } from "./purse.ts";
import type { AccountState } from "./rows.ts";
import { Repeats } from "./repeats.ts";
import { Scopes } from "./scopes.ts";
import type { Store } from "./store.ts";

/** Later than anything: a closed request has nothing left to wait for. */
const LATEST_MS = Number.MAX_SAFE_INTEGER;

export class Books {
  readonly #store: Store;
  readonly #clocks: Clocks;
  readonly answers: AnswerRules;
  readonly purse: Purse;
  readonly keyring: Keyring;
  readonly scopes: Scopes;
  readonly repeats: Repeats;
  /** When the earliest of the holds this turn wrote is due; null where none was. */
  #dueAtMs: number | null = null;

  constructor(store: Store, clocks: Clocks) {
    this.#store = store;
    this.#clocks = clocks;
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
    const newEvents = this.purse.save(() => this.scopes.print());
    const dueAtMs = this.#dueAtMs;
    this.#dueAtMs = null;
    return { dueAtMs, newEvents };
  }

  /** Takes grants that have ended off the balance, except for what running requests hold of them. */
  endGrants(nowMs: number): void {
    this.purse.endGrants(this.heldNanoUsd, nowMs);
  }

  /** False where this credit was given before. */
  credit(credit: CreditGiven, nowMs: number): boolean {
    const { expiresAtMs = null } = credit;
    if (expiresAtMs !== null) this.#dueAtMs = Math.min(this.#dueAtMs ?? LATEST_MS, expiresAtMs);
    return this.purse.credit(credit, nowMs);
  }

  /** A request that runs, or the newest that the log still says of it. */
  requestNow(request: string): RunningRequest | UsageEvent | null {
    const hold = this.#store.hold(request);
    const told = this.#store.newestOf(request, this.account?.lastSeq ?? 0);
    return told ?? (hold === undefined ? null : running(hold));
  }

  /* ---- admission -------------------------------------------------------------------------------------------- */

  admit(ask: AdmitAsk, nowMs: number): Tried {
    const { account } = this;
    if (account === undefined) return refused({ kind: "unknown_key" });
    const path = this.keyring.path(ask.key.id);
    const scopes = this.scopes.of(account, path);
    const { balanceNanoUsd, suspended, regions } = account;
    const allowed = allowedRegions({ regions, path });
    const cacheSalt = pinnedSalt(this.answers.salt(account.cacheSalt, ask.model), allowed);
    const funds = { balanceNanoUsd, heldNanoUsd: this.heldNanoUsd };
    const { hit } = ask;
    const recallable = hit !== undefined && this.answers.allows(hit, path, cacheSalt);
    const hitCost = recallable ? hitCostNanoUsd(ask.price, hit) : null;
    const repeats = this.repeats.find(ask, nowMs, { cacheSalt, pinned: allowed !== null });
    const situation = { suspended, regions, path, scopes, funds, repeats, hitCostNanoUsd: hitCost };
    const verdict = decideAdmission(ask, situation, nowMs);
    if (verdict.do === "refuse") {
      const { refusal, waitsFor } = verdict;
      const spent = refusal.kind === "insufficient_balance" || refusal.kind === "budget_exceeded";
      if (!spent) return refused(refusal, waitsFor);
      // What is free of charge is there on an empty balance too, wherever it lies.
      return refused({ ...refusal, cached: { salt: cacheSalt, pinned: allowed !== null } }, waitsFor);
    }
    if (this.#store.hold(ask.request) !== undefined) return refused({ kind: "duplicate_request" });
    this.repeats.keep(ask, nowMs);
    const common = {
      ok: true,
      promptCeiling: ask.promptCeiling,
      regions: allowed === null ? null : [...allowed],
      cacheSalt,
      ...verdict.limits,
      cache: this.answers.setting(path),
    } as const;
    if (verdict.do === "recall" && hit !== undefined) {
      this.scopes.begin(account, ask, 0, nowMs);
      this.#recordHit(ask, hit, verdict.costNanoUsd, nowMs);
      const bounds = { outputCeiling: ask.outputAsked ?? ask.outputDefault, issueByMs: nowMs };
      return { verdict: { ...common, ...bounds, heldNanoUsd: 0, hit: true }, waitsFor: null };
    }
    assert(verdict.do === "admit", "only a hit that was asked for is recalled");
    const { outputCeiling, heldNanoUsd } = verdict;
    const tokens = ask.promptCeiling + outputCeiling;
    const admission = this.scopes.begin(account, ask, tokens, nowMs);
    const issueByMs = nowMs + this.#clocks.issueWithinMs;
    const lapseAtMs = nowMs + this.#clocks.holdLapseMs;
    const grant = {
      outputCeiling,
      heldNanoUsd,
      admittedAtMs: nowMs,
      issueByMs,
      lapseAtMs,
      tokens,
      admission,
    };
    this.#replace(undefined, newHold(ask, grant));
    return { verdict: { ...common, outputCeiling, heldNanoUsd, issueByMs }, waitsFor: null };
  }

  #recordHit(ask: AdmitAsk, hit: HitAsk, costNanoUsd: number, nowMs: number): void {
    const fromGrants = this.purse.charge(costNanoUsd);
    this.#spend(ask.key.id, costNanoUsd, nowMs);
    const event = hitEvent(ask, hit, costNanoUsd, { seq: this.purse.nextSeq(), nowMs });
    this.#store.appendEvent(withGranted(event, grantedNanoUsd(fromGrants)), nowMs, null);
  }

  extend(ask: ExtendAsk, nowMs: number): ExtendVerdict {
    const hold = this.#store.hold(ask.request);
    if (hold === undefined || !isExtendable(hold, ask) || this.account === undefined)
      return { ok: false, refusal: { kind: "not_extendable" } };
    const neededNanoUsd = worstCostNanoUsd(hold.price, ask.promptCeiling, hold.outputCeiling);
    const { balanceNanoUsd } = this.account;
    const freeNanoUsd = balanceNanoUsd - this.heldNanoUsd + hold.heldNanoUsd;
    if (neededNanoUsd > Math.max(freeNanoUsd, hold.heldNanoUsd)) {
      const heldByOthers = neededNanoUsd <= balanceNanoUsd;
      const missing = { kind: "insufficient_balance", neededNanoUsd, freeNanoUsd, heldByOthers } as const;
      return { ok: false, refusal: missing };
    }
    const scopes = this.scopes.of(this.account, this.keyring.path(hold.key));
    const more = ask.promptCeiling - hold.promptCeiling;
    const short = extensionRefusal(
      scopes,
      { nanoUsd: neededNanoUsd - hold.heldNanoUsd, tokens: more },
      nowMs,
    );
    if (short !== null) return { ok: false, refusal: short };
    this.scopes.correct(this.account, hold.key, more, nowMs);
    const extended = noteExtension(hold, ask, nowMs, this.#clocks.holdLapseMs);
    const tokens = (hold.tokens ?? 0) + more;
    this.#replace(hold, { ...extended, heldNanoUsd: neededNanoUsd, tokens, dueAtMs: extended.lapseAtMs });
    return { ok: true, promptCeiling: ask.promptCeiling, heldNanoUsd: neededNanoUsd };
  }

  /* ---- what is heard of a request --------------------------------------------------------------------------- */

  word(word: Word, nowMs: number): WordAck {
    const known = this.#store.hold(word.request) ?? this.#recall(word.request);
    if (known === undefined) return { state: "closed" };
    const noted = noteWord(known, word, nowMs, this.#clocks.holdLapseMs);
    const goesOn = noted !== known && word.next !== null;
    const after = this.#advance(known, goesOn ? this.#reopened(noted, nowMs) : noted, nowMs);
    return { state: after.state === "closed" ? "closed" : "open" };
  }

  /** What an operator should hear of it; null where nothing. */
  receipt(checked: CheckedReceipt, nowMs: number): Flagged | null {
    const { request, ordinal } = checked.receipt;
    const held = this.#store.hold(request);
    // A receipt of the first attempt of a forgotten request can change nothing: it is the one that closed it.
    const known = held ?? (ordinal > 0 ? this.#recall(request) : undefined);
    if (known === undefined) return null;
    const flag = flagOf(known, checked);
    const noted = noteReceipt(known, checked, nowMs);
    const overtook = held === undefined && ordinal > (known.attempts.at(-1)?.ordinal ?? 0);
    this.#advance(known, overtook ? this.#reopened(noted, nowMs) : noted, nowMs);
    return flag;
  }

  renew(renewal: RenewalAsk, nowMs: number): void {
    const known = this.#store.hold(renewal.request);
    if (known === undefined) return;
    this.#advance(known, noteRenewal(known, renewal, nowMs, this.#clocks.holdLapseMs), nowMs);
  }

  /** Looks again at a hold that is due. */
  review(hold: Hold, nowMs: number, struck: ReadonlySet<number>): void {
    if (hold.state === "closed") {
      if (hold.dueAtMs <= nowMs) this.#replace(hold, undefined);
      return;
    }
    this.#advance(hold, hold, nowMs, struck);
  }

  #recall(request: string): Hold | undefined {
    return this.#store.recall(request, this.account?.lastSeq ?? 0);
  }

  /**
   * A natural end closes a request at once, and a moment later a word can say that its client never saw that end and
   * another node goes on (or that node's receipt overtakes the word). The money is held again, where there is any;
   * where not, the request stays closed.
   */
  #reopened(hold: Hold, nowMs: number): Hold {
    if (hold.state !== "closed" || this.account === undefined) return hold;
    const worst = worstCostNanoUsd(hold.price, hold.promptCeiling, hold.outputCeiling);
    const heldNanoUsd = Math.max(0, worst - hold.postedNanoUsd);
    const scopes = this.scopes.of(this.account, this.keyring.path(hold.key));
    const freeNanoUsd = this.account.balanceNanoUsd - this.heldNanoUsd;
    if (heldNanoUsd > Math.max(0, Math.min(freeNanoUsd, budgetRoomNanoUsd(scopes, nowMs)))) return hold;
    const tokens = hold.promptCeiling + hold.outputCeiling;
    this.scopes.correct(this.account, hold.key, tokens - (hold.tokens ?? tokens), nowMs);
    return { ...hold, state: "open", heldNanoUsd, tokens };
  }

  #advance(before: Hold, after: Hold, nowMs: number, struck?: ReadonlySet<number>): Hold {
    if (after.state === "closed") return this.#correct(before, after, nowMs);
    const decision = decide(after, nowMs, this.#clocks, struck);
    if (decision.do === "close") {
      const again = before.state === "closed" && !isCorrection(before, decision);
      return again ? before : this.#close(before, after, decision, nowMs);
    }
    let next: Hold = { ...after, state: decision.state, dueAtMs: decision.untilMs };
    if (next.state === "pending" && before.state !== "pending") {
      this.#store.appendEvent(pendingEvent(next, { seq: this.purse.nextSeq(), nowMs }), nowMs, null);
      next = { ...next, revision: next.revision + 1 };
    }
    const changed = after !== before || next.state !== before.state || next.dueAtMs !== before.dueAtMs;
    if (changed) this.#replace(before, next);
    return next;
  }

  /** A request that was closed before: what is heard now can make its usage exact, and cheaper, never dearer. */
  #correct(before: Hold, after: Hold, nowMs: number): Hold {
    if (after === before) return before;
    const decision = decide(after, LATEST_MS, this.#clocks);
    if (decision.do === "close" && isCorrection(before, decision))
      return this.#close(before, after, decision, nowMs);
    const row = this.#store.hold(after.request);
    if (row !== undefined) this.#replace(row, decision.do === "close" && decision.final ? undefined : after);
    return after;
  }

  #close(before: Hold, after: Hold, closing: Closing, nowMs: number): Hold {
    assert(this.account !== undefined, "only an account that exists has requests");
    const posting = post(after, closing);
    const closed = afterClosing(after, closing, posting, nowMs + this.#clocks.lateKeepMs);
    const paid = this.purse.settle(after, posting.chargedNanoUsd);
    this.#spend(after.key, posting.chargedNanoUsd, nowMs, after.chargedAtMs);
    const tokens = closing.promptTokens + closing.completionTokens;
    this.scopes.correct(this.account, after.key, tokens - (after.tokens ?? tokens), nowMs);
    const { fromGrants } = paid;
    const granted = fromGrants.length === 0 && after.fromGrants === undefined ? {} : { fromGrants };
    const chargedAtMs = posting.chargedNanoUsd > 0 ? nowMs : (after.chargedAtMs ?? nowMs);
    const next: Hold = { ...closed, ...granted, tokens, chargedAtMs };
    const event = closedEvent(after, closing, posting, { seq: this.purse.nextSeq(), nowMs });
    this.#store.appendEvent(withGranted(event, paid.grantedNanoUsd), nowMs, closing.final ? next : null);
    if (after.repeat !== undefined && cameToNothing(closing))
      this.repeats.release(after.repeat, after.request);
    this.#replace(before, closing.final ? undefined : next);
    return next;
  }

  #spend(key: string, nanoUsd: number, nowMs: number, chargedAtMs = nowMs): void {
    assert(this.account !== undefined, "only an account that exists spends");
    this.scopes.spend(this.account, key, nanoUsd, { chargedAtMs, nowMs });
  }

  /** The one way a hold's row changes, so that the sums in memory cannot drift from the rows. */
  #replace(before: Hold | undefined, after: Hold | undefined): void {
    if (before !== undefined) this.scopes.count(before, -1);
    if (after !== undefined) this.scopes.count(after, 1);
    if (after !== undefined) {
      this.#store.saveHold(after);
      if (after.state !== "closed") this.#dueAtMs = Math.min(this.#dueAtMs ?? LATEST_MS, after.dueAtMs);
    } else if (before !== undefined) {
      this.#store.dropHold(before.request);
    }
  }
}

function refused(refusal: AdmitRefusal, waitsFor: string | null = null): Tried {
  return { verdict: { ok: false, refusal }, waitsFor };
}
