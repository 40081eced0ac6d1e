/**
 * What the limits of an account and its keys say to one more request. Pure, and nothing is consumed here. Every limit that
 * applies is asked: the account's, the key's, and those of the keys that made it; whatever a key made counts against its
 * maker too, so no number of keys exceeds the one that made them.
 *
 * Budgets are walls: what running requests hold counts as spent. So a budget can be in the way only for as long as they
 * run, and then, as with places and tokens, it is worth waiting a moment (`waitsFor` names whose room is waited for).
 */
import type { AdmitRefusal, LimitScope, LimitState } from "@sluice/protocol/account";
import type { Limits } from "../core/limits.ts";
import { fill, fullInMs, take, waitForMs } from "./bucket.ts";
import { asOf, dayEndMs, monthEndMs, type Used } from "./used.ts";

/** What the requests that run now have taken. */
export type Tally = { readonly open: number; readonly heldNanoUsd: number; readonly tokens: number };

export const NOTHING_OPEN: Tally = { open: 0, heldNanoUsd: 0, tokens: 0 };

/** Something that limits apply to. */
export type Scope = {
  readonly scope: LimitScope;
  /** The key's id, or "" for the account. */
  readonly id: string;
  readonly limits: Limits;
  readonly used: Used;
  readonly tally: Tally;
};

/** `waitsFor` is the id of the scope where a closing could make room; null where none could. */
export type Hindrance = { readonly refusal: AdmitRefusal; readonly waitsFor: string | null };

/** Requests per minute and per day. No closing makes room in these: a request that was started was started. */
export function requestsHindrance(scopes: readonly Scope[], nowMs: number): Hindrance | null {
  for (const { scope, limits, used } of scopes) {
    const tooFast = minuteHindrance({ scope, limits }, used.requests, nowMs);
    if (tooFast !== null) return tooFast;
    const perDay = limits.requestsPerDay;
    const today = asOf(used, nowMs);
    if (perDay !== null && today.dayRequests >= perDay) {
      const retryAfterMs = Math.max(1, dayEndMs(today.day) - nowMs);
      const named = { kind: "rate_limited", limit: "requests_per_day", scope, max: perDay } as const;
      return { refusal: { ...named, remaining: 0, retryAfterMs }, waitsFor: null };
    }
  }
  return null;
}

/**
 * Calls that repeat others have a minute of their own, as large: a client that tries again is told which request it repeats though
 * its requests are used up, and no `Idempotency-Key` goes round the limit.
 */
export function repeatsHindrance(scopes: readonly Scope[], nowMs: number): Hindrance | null {
  for (const { scope, limits, used } of scopes) {
    const tooFast = minuteHindrance({ scope, limits }, used.repeats, nowMs);
    if (tooFast !== null) return tooFast;
  }
  return null;
}

function minuteHindrance(
  { scope, limits }: Pick<Scope, "scope" | "limits">,
  bucket: Used["requests"],
  nowMs: number,
): Hindrance | null {
  const max = limits.requestsPerMinute;
  if (max === null) return null;
  const retryAfterMs = waitForMs(fill(bucket, max, nowMs), 1, max);
  if (retryAfterMs === 0) return null;
  const named = { kind: "rate_limited", limit: "requests_per_minute", scope, max } as const;
  return { refusal: { ...named, remaining: 0, retryAfterMs }, waitsFor: null };
}

export function concurrencyHindrance(scopes: readonly Scope[]): Hindrance | null {
  for (const { scope, id, limits, tally } of scopes) {
    const max = limits.concurrency;
    if (max === null || tally.open < max) continue;
    return { refusal: { kind: "concurrency_limited", scope, max }, waitsFor: max === 0 ? null : id };
  }
  return null;
}

export function tokensHindrance(scopes: readonly Scope[], needed: number, nowMs: number): Hindrance | null {
  for (const { scope, id, limits, used, tally } of scopes) {
    const max = limits.tokensPerMinute;
    if (max === null) continue;
    const filled = fill(used.tokens, max, nowMs);
    const retryAfterMs = waitForMs(filled, needed, max);
    if (retryAfterMs === 0) continue;
    const remaining = Math.max(0, Math.floor(filled.left));
    const named = { kind: "rate_limited", limit: "tokens_per_minute", scope, max } as const;
    const freed = needed <= max && needed <= filled.left + tally.tokens;
    return { refusal: { ...named, remaining, needed, retryAfterMs }, waitsFor: freed ? id : null };
  }
  return null;
}

type Budget = {
  readonly period: "day" | "month" | "total";
  readonly maxNanoUsd: number;
  readonly spentNanoUsd: number;
  readonly resetAtMs: number | null;
};

/** The budgets there are, the one that is reset soonest first. */
function budgetsOf({ limits, used }: Pick<Scope, "limits" | "used">, nowMs: number): Budget[] {
  const now = asOf(used, nowMs);
  const all = [
    ["day", limits.budgetDayNanoUsd, now.dayNanoUsd, dayEndMs(now.day)],
    ["month", limits.budgetMonthNanoUsd, now.monthNanoUsd, monthEndMs(now.month)],
    ["total", limits.budgetTotalNanoUsd, now.totalNanoUsd, null],
  ] as const;
  return all.flatMap(([period, maxNanoUsd, spentNanoUsd, resetAtMs]) =>
    maxNanoUsd === null ? [] : [{ period, maxNanoUsd, spentNanoUsd, resetAtMs }],
  );
}

/** What the tightest budget still allows, with what is held counted as spent; infinite where there is none. */
export function budgetRoomNanoUsd(scopes: readonly Scope[], nowMs: number): number {
  let room = Number.POSITIVE_INFINITY;
  for (const scope of scopes)
    for (const { maxNanoUsd, spentNanoUsd } of budgetsOf(scope, nowMs))
      room = Math.min(room, maxNanoUsd - spentNanoUsd - scope.tally.heldNanoUsd);
  return room;
}

/** What costs nothing passes a spent budget too. */
export function budgetHindrance(
  scopes: readonly Scope[],
  neededNanoUsd: number,
  nowMs: number,
): Hindrance | null {
  if (neededNanoUsd === 0) return null;
  for (const scope of scopes) {
    const { heldNanoUsd } = scope.tally;
    for (const budget of budgetsOf(scope, nowMs)) {
      const unspent = budget.maxNanoUsd - budget.spentNanoUsd;
      if (neededNanoUsd <= unspent - heldNanoUsd) continue;
      const heldByOthers = neededNanoUsd <= unspent;
      const named = { kind: "budget_exceeded", scope: scope.scope, ...budget } as const;
      return {
        refusal: { ...named, heldNanoUsd, neededNanoUsd, heldByOthers },
        waitsFor: heldByOthers ? scope.id : null,
      };
    }
  }
  return null;
}

/** Whether a running request may hold this much more; null where it may. It never waits: a node waits for the answer. */
export function extensionRefusal(
  scopes: readonly Scope[],
  more: { readonly nanoUsd: number; readonly tokens: number },
  nowMs: number,
): Extract<AdmitRefusal, { kind: "budget_exceeded" | "rate_limited" }> | null {
  const refusal =
    budgetHindrance(scopes, Math.max(0, more.nanoUsd), nowMs)?.refusal ??
    tokensHindrance(scopes, more.tokens, nowMs)?.refusal;
  return refusal?.kind === "budget_exceeded" || refusal?.kind === "rate_limited" ? refusal : null;
}

/** The smallest limit on tokens per minute; null where there is none. */
export function tokensMaxOf(scopes: readonly Scope[]): number | null {
  let least: number | null = null;
  for (const { limits } of scopes) {
    const max = limits.tokensPerMinute;
    if (max !== null && (least === null || max < least)) least = max;
  }
  return least;
}

export type LimitStates = {
  readonly requestsPerMinute: LimitState | null;
  readonly requestsPerDay: LimitState | null;
  readonly tokensPerMinute: LimitState | null;
};

/** What is left of each limit once a request with so many tokens has begun: of several scopes the one met first. */
export function limitStates(scopes: readonly Scope[], tokens: number, nowMs: number): LimitStates {
  let [requestsPerMinute, requestsPerDay, tokensPerMinute]: (LimitState | null)[] = [null, null, null];
  for (const { limits, used } of scopes) {
    const today = asOf(used, nowMs);
    const { requestsPerMinute: perMinute, tokensPerMinute: perTokens, requestsPerDay: perDay } = limits;
    if (perMinute !== null)
      requestsPerMinute = tighter(requestsPerMinute, ofBucket(used.requests, 1, perMinute, nowMs));
    if (perTokens !== null)
      tokensPerMinute = tighter(tokensPerMinute, ofBucket(used.tokens, tokens, perTokens, nowMs));
    if (perDay !== null) {
      const remaining = Math.max(0, perDay - today.dayRequests - 1);
      const state = { max: perDay, remaining, resetMs: Math.max(0, dayEndMs(today.day) - nowMs) };
      requestsPerDay = tighter(requestsPerDay, state);
    }
  }
  return {
    requestsPerMinute: requestsPerMinute ?? null,
    requestsPerDay: requestsPerDay ?? null,
    tokensPerMinute: tokensPerMinute ?? null,
  };
}

function ofBucket(bucket: Used["requests"], amount: number, max: number, nowMs: number): LimitState {
  const after = take(fill(bucket, max, nowMs), amount);
  return { max, remaining: Math.max(0, Math.floor(after.left)), resetMs: fullInMs(after, max) };
}

/** Of several limits a client is shown the one it will meet first. */
function tighter<State extends LimitState>(a: State | null | undefined, b: State): State {
  return a === null || a === undefined || b.remaining < a.remaining ? b : a;
}
