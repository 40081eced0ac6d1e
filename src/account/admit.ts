/**
 * The desk where requests are admitted, and their holds extended: admission.ts and hold.ts decide, and here it is written down.
 * Every function is one step of a turn.
 */
import type { AdmitAsk, AdmitRefusal, ExtendAsk, ExtendVerdict } from "@sluice/protocol/account";
import type { UsageEvent } from "@sluice/protocol/account-log";
import { assert } from "../core/assert.ts";
import { hitCostNanoUsd } from "../core/money.ts";
import { allowedRegions, allowedUpstreams, decideAdmission, type KnownKey } from "./admission.ts";
import type { Books } from "./books.ts";
import { isExtendable, newHold, noteExtension } from "./facts.ts";
import { grantedNanoUsd } from "./grants.ts";
import { worstCostNanoUsd } from "./hold.ts";
import { extensionRefusal } from "./limits.ts";
import type { Need, Tried } from "./line.ts";
import { pinnedSalt } from "./pinned-salt.ts";
import { hitEvent } from "./post.ts";
import { withGranted } from "./purse.ts";
import type { AccountState } from "./rows.ts";

export function admit(books: Books, ask: AdmitAsk, nowMs: number): Tried {
  const { account } = books;
  if (account === undefined) return refused({ kind: "unknown_key" });
  const path = books.keyring.path(ask.key.id);
  const scopes = books.scopes.of(account, path);
  const { balanceNanoUsd, suspended, regions } = account;
  const allowed = allowedRegions({ regions, path });
  const upstreams = allowedUpstreams(account.upstreams, path);
  const cacheSalt = saltFor(books, account, ask.model, path);
  const funds = { balanceNanoUsd, heldNanoUsd: books.heldNanoUsd };
  const { hit } = ask;
  const recallable = hit !== undefined && books.answers.allows(hit, path, cacheSalt);
  const hitCost = recallable ? hitCostNanoUsd(ask.price, hit) : null;
  const repeats = books.repeats.find(ask, nowMs, { cacheSalt, pinned: allowed !== null });
  const situation = { suspended, regions, path, scopes, funds, repeats, hitCostNanoUsd: hitCost };
  const verdict = decideAdmission(ask, situation, nowMs);
  if (verdict.do === "refuse") {
    const { refusal, waitsFor } = verdict;
    if (refusal.kind === "idempotency_conflict") books.scopes.repeat(account, ask.key.id, nowMs);
    const spent = refusal.kind === "insufficient_balance" || refusal.kind === "budget_exceeded";
    if (!spent) return refused(refusal, waitsFor);
    // What is free of charge is there on an empty balance too, wherever it lies.
    return refused({ ...refusal, cached: { salt: cacheSalt, pinned: allowed !== null } }, waitsFor);
  }
  if (books.store.holds.has(ask.request)) return refused({ kind: "duplicate_request" });
  books.repeats.keep(ask, nowMs);
  const common = {
    ok: true,
    promptCeiling: ask.promptCeiling,
    regions: allowed === null ? null : [...allowed],
    cacheSalt,
    ...verdict.limits,
    cache: books.answers.setting(path),
    ...(upstreams === "none" ? {} : { upstreams }),
  } as const;
  if (verdict.do === "recall" && hit !== undefined) {
    books.scopes.begin(account, ask, 0, nowMs);
    const event = hitEvent(ask, hit, verdict.costNanoUsd, { seq: books.purse.nextSeq(), nowMs });
    recordHit(books, event, nowMs);
    const bounds = { outputCeiling: ask.outputAsked ?? ask.outputDefault, issueByMs: nowMs };
    return { verdict: { ...common, ...bounds, heldNanoUsd: 0, hit: true }, waitsFor: null };
  }
  assert(verdict.do === "admit", "only a hit that was asked for is recalled");
  const { outputCeiling, heldNanoUsd } = verdict;
  const tokens = ask.promptCeiling + outputCeiling;
  const admission = books.scopes.begin(account, ask, tokens, nowMs);
  const issueByMs = nowMs + books.clocks.issueWithinMs;
  const lapseAtMs = nowMs + books.clocks.holdLapseMs;
  const grant = {
    outputCeiling,
    heldNanoUsd,
    admittedAtMs: nowMs,
    issueByMs,
    lapseAtMs,
    tokens,
    admission,
  };
  books.begin(newHold(ask, grant, allowed));
  return { verdict: { ...common, outputCeiling, heldNanoUsd, issueByMs }, waitsFor: null };
}

function recordHit(books: Books, event: UsageEvent, nowMs: number): void {
  const fromGrants = books.purse.charge(event.costNanoUsd, nowMs);
  books.spend(event.key, event.costNanoUsd, nowMs);
  books.store.log.append(withGranted(event, grantedNanoUsd(fromGrants)), nowMs, null);
}

export function extend(books: Books, ask: ExtendAsk, nowMs: number): ExtendVerdict {
  const hold = books.store.holds.get(ask.request);
  if (hold === undefined || !isExtendable(hold, ask) || books.account === undefined)
    return { ok: false, refusal: { kind: "not_extendable" } };
  const neededNanoUsd = worstCostNanoUsd(hold.price, ask.promptCeiling, hold.outputCeiling);
  const { balanceNanoUsd } = books.account;
  const freeNanoUsd = balanceNanoUsd - books.heldNanoUsd + hold.heldNanoUsd;
  if (neededNanoUsd > Math.max(freeNanoUsd, hold.heldNanoUsd)) {
    const heldByOthers = neededNanoUsd <= balanceNanoUsd;
    const missing = { kind: "insufficient_balance", neededNanoUsd, freeNanoUsd, heldByOthers } as const;
    return { ok: false, refusal: missing };
  }
  const scopes = books.scopes.of(books.account, books.keyring.path(hold.key));
  const more = ask.promptCeiling - hold.promptCeiling;
  const short = extensionRefusal(scopes, { nanoUsd: neededNanoUsd - hold.heldNanoUsd, tokens: more }, nowMs);
  if (short !== null) return { ok: false, refusal: short };
  books.scopes.correct(books.account, hold.key, more, nowMs);
  const extended = noteExtension(hold, ask, nowMs, books.clocks.holdLapseMs);
  const tokens = (hold.tokens ?? 0) + more;
  books.replace(hold, { ...extended, heldNanoUsd: neededNanoUsd, tokens, dueAtMs: extended.lapseAtMs });
  return { ok: true, promptCeiling: ask.promptCeiling, heldNanoUsd: neededNanoUsd };
}

function refused(refusal: AdmitRefusal, scope: string | null = null): Tried {
  const spent = refusal.kind === "insufficient_balance" || refusal.kind === "budget_exceeded";
  const waitsFor = scope === null ? null : ({ need: spent ? "money" : "place", scope } as const);
  return { verdict: { ok: false, refusal }, waitsFor };
}

const BOTH: readonly Need[] = ["money", "place"];

/** What a call takes where it is admitted: one that is free of charge no money, and a cached answer no place either. */
export function needsOf(books: Books, ask: AdmitAsk): readonly Need[] {
  const { account } = books;
  if (account === undefined) return BOTH;
  const { hit, price, promptCeiling, outputAsked, outputDefault } = ask;
  if (hit !== undefined && hitCostNanoUsd(price, hit) === 0) {
    const path = books.keyring.path(ask.key.id);
    if (books.answers.allows(hit, path, saltFor(books, account, ask.model, path))) return [];
  }
  return worstCostNanoUsd(price, promptCeiling, outputAsked ?? outputDefault) === 0 ? ["place"] : BOTH;
}

/** Opens the cached answers of this model, for the regions that account and key allow. */
function saltFor(
  books: Books,
  { cacheSalt, regions }: AccountState,
  model: string,
  path: readonly KnownKey[],
): string {
  return pinnedSalt(books.answers.salt(cacheSalt, model), allowedRegions({ regions, path }));
}
