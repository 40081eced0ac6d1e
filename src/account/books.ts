/**
 * The books of one account: its balance, what is held of it, who is open, and the log of what happened. The one place
 * where these change; every method is one step of a turn and finishes without waiting for anything.
 *
 * Invariant: held <= balance whenever something was admitted, and what a request is charged never exceeds what was held
 * for it. All of it is in SQLite. Memory repeats the account's row, the keys in use and two sums, so that an admission
 * reads nothing it does not have to; after a turn that failed the object throws these books away and reads new ones.
 * Only the buckets live in memory alone: a restart fills them, which can exceed a limit once, never a budget.
 */
import type {
  AdmitAsk,
  CheckedReceipt,
  ExtendAsk,
  ExtendVerdict,
  Flagged,
  HitAsk,
  UsageEvent,
  Word,
  WordAck,
} from "@sluice/protocol/account";
import type { CreditGiven, RunningRequest } from "../core/account.ts";
import { assert } from "../core/assert.ts";
import { hitCostNanoUsd } from "../core/money.ts";
import { AnswerRules } from "./answers.ts";
import { decideAdmission, type KnownKey, type Scope } from "./admission.ts";
import type { Bucket } from "./bucket.ts";
import type { Clocks } from "./clocks.ts";
import { decide, type Closing } from "./close.ts";
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
import { running } from "./look.ts";
import type { Tried } from "./line.ts";
import { afterClosing, closedEvent, hitEvent, isCorrection, pendingEvent, post } from "./post.ts";
import { Purse, withGranted } from "./purse.ts";
import type { AccountState } from "./rows.ts";
import type { Store } from "./store.ts";

/** Keys and buckets remembered; beyond it they are forgotten and read again. */
const REMEMBERED_MAX = 4_096;
/** Later than anything: a closed request has nothing left to wait for. */
const LATEST_MS = Number.MAX_SAFE_INTEGER;

export class Books {
  readonly #store: Store;
  readonly #clocks: Clocks;
  readonly answers: AnswerRules;
  readonly purse: Purse;
  #heldNanoUsd: number;
  readonly #openByKey: Map<string, number>;
  #open = 0;
  readonly #keys = new Map<string, KnownKey>();
  readonly #buckets: Map<string, Bucket>;
  /** When the earliest of the holds this turn wrote is due; null where none was. */
  #dueAtMs: number | null = null;

  constructor(store: Store, clocks: Clocks, buckets: Map<string, Bucket>) {
    this.#store = store;
    this.#clocks = clocks;
    this.#buckets = buckets;
    this.answers = new AnswerRules(store);
    this.purse = new Purse(store);
    const totals = store.totals();
    this.#heldNanoUsd = totals.heldNanoUsd;
    this.#openByKey = new Map(totals.openByKey);
    for (const open of totals.openByKey.values()) this.#open += open;
  }

  get account(): AccountState | undefined {
    return this.purse.account;
  }

  get heldNanoUsd(): number {
    return this.#heldNanoUsd;
  }

  /** Ends a turn: the account's row is written once, however many requests moved it. */
  finishTurn(): { readonly dueAtMs: number | null; readonly newEvents: boolean } {
    const newEvents = this.purse.save();
    const dueAtMs = this.#dueAtMs;
    this.#dueAtMs = null;
    return { dueAtMs, newEvents };
  }

  /** Takes grants that have ended off the balance, except for what running requests hold of them. */
  endGrants(nowMs: number): void {
    this.purse.endGrants(this.#heldNanoUsd, nowMs);
  }

  /** False where this credit was given before. */
  credit(credit: CreditGiven, nowMs: number): boolean {
    const { expiresAtMs = null } = credit;
    if (expiresAtMs !== null) this.#dueAtMs = Math.min(this.#dueAtMs ?? LATEST_MS, expiresAtMs);
    return this.purse.credit(credit, nowMs);
  }

  /* ---- keys ------------------------------------------------------------------------------------------------- */

  putKey(key: KnownKey): void {
    this.#store.saveKey(key);
    this.#keys.delete(key.id);
  }

  key(id: string): KnownKey | undefined {
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    const read = this.#store.key(id);
    if (this.#keys.size >= REMEMBERED_MAX) this.#keys.clear();
    if (read !== undefined) this.#keys.set(id, read);
    return read;
  }

  /** How many requests of a key run now. */
  openOf(key: string): number {
    return this.#openByKey.get(key) ?? 0;
  }

  /** A request that runs, or the newest that the log still says of it. */
  requestNow(request: string): RunningRequest | UsageEvent | null {
    const hold = this.#store.hold(request);
    const told = this.#store.newestOf(request, this.account?.lastSeq ?? 0);
    return told ?? (hold === undefined ? null : running(hold));
  }

  /* ---- admission -------------------------------------------------------------------------------------------- */

  admit(ask: AdmitAsk, nowMs: number): Tried {
    const account = this.account;
    if (account === undefined)
      return { verdict: { ok: false, refusal: { kind: "unknown_key" } }, wanting: null };
    const key = this.key(ask.key.id);
    const scopes = [
      this.#scope("account", account, this.#open, ""),
      ...(key === undefined ? [] : [this.#scope("key", key, this.#openByKey.get(key.id) ?? 0, key.id)]),
    ];
    const funds = { balanceNanoUsd: account.balanceNanoUsd, heldNanoUsd: this.#heldNanoUsd };
    const { suspended } = account;
    const cacheSalt = this.answers.salt(account.cacheSalt, ask.model);
    const { hit } = ask;
    const recallable = hit !== undefined && this.answers.allows(hit, ask.key.id, cacheSalt);
    const hitCost = recallable ? hitCostNanoUsd(ask.price, hit) : null;
    const verdict = decideAdmission(ask, { suspended, key, scopes, funds, hitCostNanoUsd: hitCost }, nowMs);
    if (verdict.do === "refuse")
      return { verdict: { ok: false, refusal: verdict.refusal }, wanting: verdict.mayWait };
    if (this.#store.hold(ask.request) !== undefined)
      return { verdict: { ok: false, refusal: { kind: "duplicate_request" } }, wanting: null };
    this.#fillBuckets(ask.key.id, verdict.buckets);
    const { requestsPerMinute } = verdict;
    const common = {
      ok: true,
      promptCeiling: ask.promptCeiling,
      regions: account.regions,
      cacheSalt,
      requestsPerMinute,
      cache: this.answers.setting(ask.key.id),
    } as const;
    if (verdict.do === "recall" && hit !== undefined) {
      this.#recordHit(ask, hit, verdict.costNanoUsd, nowMs);
      const bounds = { outputCeiling: ask.outputAsked ?? ask.outputDefault, issueByMs: nowMs };
      return { verdict: { ...common, ...bounds, heldNanoUsd: 0, hit: true }, wanting: null };
    }
    assert(verdict.do === "admit", "only a hit that was asked for is recalled");
    const { outputCeiling, heldNanoUsd } = verdict;
    const issueByMs = nowMs + this.#clocks.issueWithinMs;
    const lapseAtMs = nowMs + this.#clocks.holdLapseMs;
    const grant = { outputCeiling, heldNanoUsd, admittedAtMs: nowMs, issueByMs, lapseAtMs };
    this.#replace(undefined, newHold(ask, grant));
    return { verdict: { ...common, outputCeiling, heldNanoUsd, issueByMs }, wanting: null };
  }

  #recordHit(ask: AdmitAsk, hit: HitAsk, costNanoUsd: number, nowMs: number): void {
    const fromGrants = this.purse.charge(costNanoUsd);
    const event = hitEvent(ask, hit, costNanoUsd, { seq: this.purse.nextSeq(), nowMs });
    this.#store.appendEvent(withGranted(event, grantedNanoUsd(fromGrants)), nowMs, null);
  }

  #scope(scope: Scope["scope"], limits: Scope["limits"], open: number, key: string): Scope {
    return { scope, limits, open, bucket: this.#buckets.get(key) };
  }

  #fillBuckets(key: string, [ofAccount, ofKey]: readonly (Bucket | undefined)[]): void {
    if (this.#buckets.size >= REMEMBERED_MAX) this.#buckets.clear();
    if (ofAccount !== undefined) this.#buckets.set("", ofAccount);
    if (ofKey !== undefined) this.#buckets.set(key, ofKey);
  }

  extend(ask: ExtendAsk, nowMs: number): ExtendVerdict {
    const hold = this.#store.hold(ask.request);
    if (hold === undefined || !isExtendable(hold, ask) || this.account === undefined)
      return { ok: false, refusal: { kind: "not_extendable" } };
    const neededNanoUsd = worstCostNanoUsd(hold.price, ask.promptCeiling, hold.outputCeiling);
    const { balanceNanoUsd } = this.account;
    const freeNanoUsd = balanceNanoUsd - this.#heldNanoUsd + hold.heldNanoUsd;
    if (neededNanoUsd > Math.max(freeNanoUsd, hold.heldNanoUsd)) {
      const heldByOthers = neededNanoUsd <= balanceNanoUsd;
      const missing = { kind: "insufficient_balance", neededNanoUsd, freeNanoUsd, heldByOthers } as const;
      return { ok: false, refusal: missing };
    }
    const extended = noteExtension(hold, ask, nowMs, this.#clocks.holdLapseMs);
    this.#replace(hold, { ...extended, heldNanoUsd: neededNanoUsd, dueAtMs: extended.lapseAtMs });
    return { ok: true, promptCeiling: ask.promptCeiling, heldNanoUsd: neededNanoUsd };
  }

  /* ---- what is heard of a request --------------------------------------------------------------------------- */

  word(word: Word, nowMs: number): WordAck {
    const known = this.#store.hold(word.request) ?? this.#recall(word.request);
    if (known === undefined) return { state: "closed" };
    const noted = noteWord(known, word, nowMs, this.#clocks.holdLapseMs);
    const goesOn = noted !== known && word.next !== null;
    const after = this.#advance(known, goesOn ? this.#reopened(noted) : noted, nowMs);
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
    this.#advance(known, overtook ? this.#reopened(noted) : noted, nowMs);
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
  #reopened(hold: Hold): Hold {
    if (hold.state !== "closed" || this.account === undefined) return hold;
    const worst = worstCostNanoUsd(hold.price, hold.promptCeiling, hold.outputCeiling);
    const heldNanoUsd = Math.max(0, worst - hold.postedNanoUsd);
    if (heldNanoUsd > Math.max(0, this.account.balanceNanoUsd - this.#heldNanoUsd)) return hold;
    return { ...hold, state: "open", heldNanoUsd };
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
    const posting = post(after, closing);
    const closed = afterClosing(after, closing, posting, nowMs + this.#clocks.lateKeepMs);
    const paid = this.purse.settle(after, posting.chargedNanoUsd);
    const next: Hold = paid.fromGrants.length === 0 ? closed : { ...closed, fromGrants: paid.fromGrants };
    const event = closedEvent(after, closing, posting, { seq: this.purse.nextSeq(), nowMs });
    this.#store.appendEvent(withGranted(event, paid.grantedNanoUsd), nowMs, closing.final ? next : null);
    this.#replace(before, closing.final ? undefined : next);
    return next;
  }

  /** The one way a hold's row changes, so that the sums in memory cannot drift from the rows. */
  #replace(before: Hold | undefined, after: Hold | undefined): void {
    this.#count(before, -1);
    this.#count(after, 1);
    if (after !== undefined) {
      this.#store.saveHold(after);
      if (after.state !== "closed") this.#dueAtMs = Math.min(this.#dueAtMs ?? LATEST_MS, after.dueAtMs);
    } else if (before !== undefined) {
      this.#store.dropHold(before.request);
    }
  }

  #count(hold: Hold | undefined, sign: 1 | -1): void {
    if (hold === undefined) return;
    this.#heldNanoUsd += sign * hold.heldNanoUsd;
    if (hold.state !== "open") return;
    this.#open += sign;
    const open = (this.#openByKey.get(hold.key) ?? 0) + sign;
    if (open > 0) this.#openByKey.set(hold.key, open);
    else this.#openByKey.delete(hold.key);
  }
}
