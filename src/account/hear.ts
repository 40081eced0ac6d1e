/**
 * What is heard of a request after its admission: words, receipts, renewals, and the time that passes. facts.ts notes it, close.ts decides,
 * post.ts reckons, and here it is written down. Every function is one step of a turn; each may be called again with the same message, in any
 * order.
 */
import type { CheckedReceipt, Flagged, Word, WordAck } from "@sluice/protocol/account";
import { assert } from "../core/assert.ts";
import type { Books } from "./books.ts";
import { LATEST_MS } from "./clocks.ts";
import { cameToNothing, decide, type Closing } from "./close.ts";
import { flagOf, noteReceipt, noteRenewal, noteWord, type Hold, type RenewalAsk } from "./facts.ts";
import { worstCostNanoUsd } from "./hold.ts";
import { budgetRoomNanoUsd } from "./limits.ts";
import { afterClosing, closedEvent, isCorrection, pendingEvent, post } from "./post.ts";
import { withGranted } from "./purse.ts";

export function hearWord(books: Books, word: Word, nowMs: number): WordAck {
  const known = books.store.holds.get(word.request) ?? books.recall(word.request);
  if (known === undefined) return { state: "closed" };
  const noted = noteWord(known, word, nowMs, books.clocks.holdLapseMs);
  const goesOn = noted !== known && word.next !== null;
  const after = advance(
    books,
    { before: known, after: goesOn ? reopened(books, noted, nowMs) : noted },
    nowMs,
  );
  return { state: after.state === "closed" ? "closed" : "open" };
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
  const overtook = held === undefined && ordinal > (known.attempts.at(-1)?.ordinal ?? 0);
  advance(books, { before: known, after: overtook ? reopened(books, noted, nowMs) : noted }, nowMs);
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

/**
 * A natural end closes a request at once, and a moment later a word can say that its client never saw that end and
 * another node goes on (or that node's receipt overtakes the word). The money is held again, where there is any;
 * where not, the request stays closed.
 */
function reopened(books: Books, hold: Hold, nowMs: number): Hold {
  if (hold.state !== "closed" || books.account === undefined) return hold;
  const worst = worstCostNanoUsd(hold.price, hold.promptCeiling, hold.outputCeiling);
  const heldNanoUsd = Math.max(0, worst - hold.postedNanoUsd);
  const scopes = books.scopes.of(books.account, books.keyring.path(hold.key));
  const freeNanoUsd = books.account.balanceNanoUsd - books.heldNanoUsd;
  if (heldNanoUsd > Math.max(0, Math.min(freeNanoUsd, budgetRoomNanoUsd(scopes, nowMs)))) return hold;
  const tokens = hold.promptCeiling + hold.outputCeiling;
  books.scopes.correct(books.account, hold.key, tokens - (hold.tokens ?? tokens), nowMs);
  return { ...hold, state: "open", heldNanoUsd, tokens };
}

/** A request as it was known, and as it is with what was just heard; the same where only time has passed. */
type Heard = { readonly before: Hold; readonly after: Hold };

function advance(books: Books, heard: Heard, nowMs: number, struck?: ReadonlySet<number>): Hold {
  const { before, after } = heard;
  if (after.state === "closed") return correct(books, heard, nowMs);
  const decision = decide(after, nowMs, books.clocks, struck);
  if (decision.do === "close") {
    const again = before.state === "closed" && !isCorrection(before, decision);
    return again ? before : close(books, heard, decision, nowMs);
  }
  let next: Hold = { ...after, state: decision.state, dueAtMs: decision.untilMs };
  if (next.state === "pending" && before.state !== "pending") {
    books.store.log.append(pendingEvent(next, { seq: books.purse.nextSeq(), nowMs }), nowMs, null);
    next = { ...next, revision: next.revision + 1 };
  }
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
  const row = books.store.holds.get(after.request);
  if (row !== undefined) books.replace(row, decision.do === "close" && decision.final ? undefined : after);
  return after;
}

function close(books: Books, { before, after }: Heard, closing: Closing, nowMs: number): Hold {
  assert(books.account !== undefined, "only an account that exists has requests");
  const posting = post(after, closing);
  const closed = afterClosing(after, closing, posting, nowMs + books.clocks.lateKeepMs);
  const paid = books.purse.settle(after, posting.chargedNanoUsd);
  books.spend(after.key, posting.chargedNanoUsd, nowMs, after.chargedAtMs);
  const tokens = closing.promptTokens + closing.completionTokens;
  books.scopes.correct(books.account, after.key, tokens - (after.tokens ?? tokens), nowMs);
  const { fromGrants } = paid;
  const granted = fromGrants.length === 0 && after.fromGrants === undefined ? {} : { fromGrants };
  const chargedAtMs = posting.chargedNanoUsd > 0 ? nowMs : (after.chargedAtMs ?? nowMs);
  const next: Hold = { ...closed, ...granted, tokens, chargedAtMs };
  const event = closedEvent(after, closing, posting, { seq: books.purse.nextSeq(), nowMs });
  books.store.log.append(withGranted(event, paid.grantedNanoUsd), nowMs, closing.final ? next : null);
  if (after.repeat !== undefined && cameToNothing(closing))
    books.repeats.release(after.repeat, after.request);
  books.replace(before, closing.final ? undefined : next);
  return next;
}
