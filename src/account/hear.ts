/**
 * What is heard of a request after its admission: words, receipts, renewals, and the time that passes. facts.ts notes it, close.ts decides,
 * post.ts reckons, and here it is written down. Every function is one step of a turn; each may be called again with the same message, in any
 * order.
 */
import type { CheckedReceipt, Flagged, Word, WordAck } from "@sluice/protocol/account";
import { assert } from "../core/assert.ts";
import type { Books } from "./books.ts";
import { LATEST_MS } from "./clocks.ts";
import { cameToNothing, decide, type Closing, type Decision } from "./close.ts";
import { flagOf, noteReceipt, noteRenewal, noteWord, type Hold, type RenewalAsk } from "./facts.ts";
import { worstCostNanoUsd } from "./hold.ts";
import { budgetRoomNanoUsd } from "./limits.ts";
import { afterClosing, closedEvent, isCorrection, pendingEvent, post } from "./post.ts";
import { withGranted } from "./purse.ts";

export function hearWord(books: Books, word: Word, nowMs: number): WordAck {
  const held = books.store.holds.get(word.request);
  const known = held ?? books.recall(word.request);
  if (known === undefined) return { state: "closed" };
  const noted = noteWord(known, word, nowMs, books.clocks.holdLapseMs);
  const goesOn = noted !== known && word.next !== null;
  const opens = goesOn || overtook(held, known, noted);
  const after = advance(
    books,
    { before: known, after: opens ? reopened(books, noted, nowMs) : noted },
    nowMs,
  );
  return { state: after.state === "closed" && !isBilled(known, word.next) ? "closed" : "open" };
}

/** Where it goes on it is over already, and counted: what it made may be delivered. */
function isBilled({ attempts }: Hold, next: Word["next"]): boolean {
  const attempt = next === null ? undefined : attempts[next.ordinal];
  return attempt !== undefined && attempt.receipt !== null && attempt.node === next?.node;
}

/** What an operator should hear of it; null where nothing. */
export function hearReceipt(books: Books, checked: CheckedReceipt, nowMs: number): Flagged | null {
  const { request, ordinal } = checked.receipt;
  const held = books.store.holds.get(request);
  // A receipt of the first attempt of a forgotten request can change nothing: it is the one that closed it.
  const known = held ?? (ordinal > 0 ? books.recall(request) : undefined);
  if (known === undefined) return null;
  const flag = flagOf(known, checked);
  const noted = noteReceipt(known, checked, nowMs);
  const opens = overtook(held, known, noted);
  advance(books, { before: known, after: opens ? reopened(books, noted, nowMs) : noted }, nowMs);
  return flag;
}

export function hearRenewal(books: Books, renewal: RenewalAsk, nowMs: number): void {
  const known = books.store.holds.get(renewal.request);
  if (known === undefined) return;
  advance(
    books,
    { before: known, after: noteRenewal(known, renewal, nowMs, books.clocks.holdLapseMs) },
    nowMs,
  );
}

/** Looks again at a hold that is due. */
export function review(books: Books, hold: Hold, nowMs: number, struck: ReadonlySet<number>): void {
  if (hold.state === "closed") {
    if (hold.dueAtMs <= nowMs) books.replace(hold, undefined);
    return;
  }
  advance(books, { before: hold, after: hold }, nowMs, struck);
}

/** An attempt speaks, of a request that is over for good, before the word that names it. */
function overtook(held: Hold | undefined, known: Hold, noted: Hold): boolean {
  return held === undefined && noted.attempts.length > known.attempts.length;
}

/**
 * A natural end closes a request at once, and a moment later a word can say that its client never saw that end and
 * another node goes on (or what is said of that node overtakes the word). The money is held again, where there is any;
 * where not, the request stays closed. Takes nothing yet: `advance` does, where the request is open afterwards.
 */
function reopened(books: Books, hold: Hold, nowMs: number): Hold {
  if (hold.state !== "closed" || books.account === undefined) return hold;
  const worst = worstCostNanoUsd(hold.price, hold.promptCeiling, hold.outputCeiling);
  const heldNanoUsd = Math.max(0, worst - hold.postedNanoUsd);
  const scopes = books.scopes.of(books.account, books.keyring.path(hold.key));
  const freeNanoUsd = books.account.balanceNanoUsd - books.heldNanoUsd;
  if (heldNanoUsd > Math.max(0, Math.min(freeNanoUsd, budgetRoomNanoUsd(scopes, nowMs)))) return hold;
  return { ...hold, state: "open", heldNanoUsd, tokens: hold.promptCeiling + hold.outputCeiling };
}

/** A request as it was known, and as it is with what was just heard; the same where only time has passed. */
type Heard = { readonly before: Hold; readonly after: Hold };

function advance(books: Books, heard: Heard, nowMs: number, struck?: ReadonlySet<number>): Hold {
  const { before, after } = heard;
  if (after.state === "closed") return correct(books, heard, nowMs);
  const decision = decide(after, nowMs, books.clocks, struck);
  if (decision.do === "close") {
    if (before.state !== "closed" || isCorrection(before, decision))
      return close(books, heard, decision, nowMs);
    const { state, heldNanoUsd, tokens } = before;
    return keep(
      books,
      { ...after, state, heldNanoUsd, ...(tokens === undefined ? {} : { tokens }) },
      decision,
    );
  }
  let next: Hold = { ...after, state: decision.state, dueAtMs: decision.untilMs };
  if (next.state === "pending" && before.state !== "pending") {
    books.store.log.append(pendingEvent(next, { seq: books.purse.nextSeq(), nowMs }), nowMs, null);
    next = { ...next, revision: next.revision + 1 };
  }
  if (books.account !== undefined)
    books.scopes.correct(books.account, next.key, tokensMore(before, next.tokens), nowMs);
  const changed = after !== before || next.state !== before.state || next.dueAtMs !== before.dueAtMs;
  if (changed) books.replace(before, next);
  return next;
}

/** A request that was closed before: what is heard now can make its usage exact, and cheaper, never dearer. */
function correct(books: Books, heard: Heard, nowMs: number): Hold {
  const { before, after } = heard;
  if (after === before) return before;
  const decision = decide(after, LATEST_MS, books.clocks);
  if (decision.do === "close" && isCorrection(before, decision)) return close(books, heard, decision, nowMs);
  return keep(books, after, decision);
}

/** What was heard of a closed request changes no sum: it is noted as long as the request has a row. */
function keep(books: Books, closed: Hold, decision: Decision): Hold {
  const row = books.store.holds.get(closed.request);
  if (row !== undefined) books.replace(row, decision.do === "close" && decision.final ? undefined : closed);
  return closed;
}

/** Beyond those that were counted; none where an older build admitted it, which counted none. */
function tokensMore({ tokens: counted }: Hold, tokens: number | undefined): number {
  return counted === undefined || tokens === undefined ? 0 : tokens - counted;
}

function close(books: Books, { before, after }: Heard, closing: Closing, nowMs: number): Hold {
  assert(books.account !== undefined, "only an account that exists has requests");
  const posting = post(after, closing);
  const closed = afterClosing(after, closing, posting, nowMs + books.clocks.lateKeepMs);
  const paid = books.purse.settle(after, posting.chargedNanoUsd);
  books.spend(after.key, posting.chargedNanoUsd, nowMs, after.chargedAtMs);
  books.scopes.correct(books.account, after.key, tokensMore(before, closed.tokens), nowMs);
  const { fromGrants } = paid;
  const granted = fromGrants.length === 0 && after.fromGrants === undefined ? {} : { fromGrants };
  const chargedAtMs = posting.chargedNanoUsd > 0 ? nowMs : (after.chargedAtMs ?? nowMs);
  const next: Hold = { ...closed, ...granted, chargedAtMs };
  const event = closedEvent(after, closing, posting, { seq: books.purse.nextSeq(), nowMs });
  books.store.log.append(withGranted(event, paid.grantedNanoUsd), nowMs, closing.final ? next : null);
  if (after.repeat !== undefined && cameToNothing(closing))
    books.repeats.release(after.repeat, after.request);
  books.replace(before, closing.final ? undefined : next);
  return next;
}
