/**
 * Whether a request may start: its key, the account's and the key's limits, its money, in this order. Pure: what the
 * account is and how full its buckets are come as arguments, and nothing is consumed here. A refusal that only other
 * running requests cause says `mayWait`: one of them may close within the moment the account's object gives it.
 */
import type { AdmitAsk, AdmitRefusal, LimitState } from "@sluice/protocol/account";
import { equalInConstantTime, utf8 } from "@sluice/protocol/bytes";
import { fill, fullInMs, takeOne, waitForOneMs, type Bucket } from "./bucket.ts";
import { sizeHold, type Funds } from "./hold.ts";

export type Limits = {
  /** Null: no limit. */
  readonly requestsPerMinute: number | null;
  readonly concurrency: number | null;
};

export type KnownKey = Limits & {
  readonly id: string;
  readonly name: string;
  readonly secretSha256: string;
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly models: readonly string[] | null;
};

/** One of the two things a limit applies to: the whole account, or one key. */
export type Scope = {
  readonly scope: "account" | "key";
  readonly limits: Limits;
  readonly open: number;
  readonly bucket: Bucket | undefined;
};

export type Situation = {
  readonly suspended: boolean;
  readonly key: KnownKey | undefined;
  readonly scopes: readonly Scope[];
  readonly funds: Funds;
  /** What the cached answer at hand costs; null where there is none, or where it may not be used. */
  readonly hitCostNanoUsd: number | null;
};

/** What a refusal waits for: the name of the queue it stands in. */
export type Wanting = "money" | "account" | "key";

export type Verdict =
  | {
      readonly do: "admit";
      readonly outputCeiling: number;
      readonly heldNanoUsd: number;
      /** The buckets after this request, in the order of the scopes; undefined where there is no limit. */
      readonly buckets: readonly (Bucket | undefined)[];
      readonly requestsPerMinute: LimitState | null;
    }
  /** A cached answer: counted like any other request, and nothing runs. */
  | {
      readonly do: "recall";
      readonly costNanoUsd: number;
      readonly buckets: readonly (Bucket | undefined)[];
      readonly requestsPerMinute: LimitState | null;
    }
  | { readonly do: "refuse"; readonly refusal: AdmitRefusal; readonly mayWait: Wanting | null };

export function decideAdmission(ask: AdmitAsk, situation: Situation, nowMs: number): Verdict {
  const refusal = keyRefusal(ask, situation, nowMs) ?? rateRefusal(situation, nowMs);
  if (refusal !== null) return { do: "refuse", refusal, mayWait: null };
  const buckets = situation.scopes.map(({ limits, bucket }) =>
    limits.requestsPerMinute === null ? undefined : takeOne(fill(bucket, limits.requestsPerMinute, nowMs)),
  );
  const requestsPerMinute = tightest(situation.scopes, buckets);
  const { funds, hitCostNanoUsd: costNanoUsd } = situation;
  // It takes no place, and what is free of charge is there on an empty balance too.
  if (costNanoUsd !== null && costNanoUsd <= Math.max(0, funds.balanceNanoUsd - funds.heldNanoUsd))
    return { do: "recall", costNanoUsd, buckets, requestsPerMinute };
  for (const { scope, limits, open } of situation.scopes) {
    const max = limits.concurrency;
    if (max === null || open < max) continue;
    const refusal = { kind: "concurrency_limited", scope, max } as const;
    return { do: "refuse", refusal, mayWait: max === 0 ? null : scope };
  }
  const size = sizeHold(ask, situation.funds);
  if (!size.ok) {
    const { ok: _, ...missing } = size;
    const refusal = { kind: "insufficient_balance", ...missing } as const;
    return { do: "refuse", refusal, mayWait: size.heldByOthers ? "money" : null };
  }
  const { outputCeiling, heldNanoUsd } = size;
  return { do: "admit", outputCeiling, heldNanoUsd, buckets, requestsPerMinute };
}

function keyRefusal(ask: AdmitAsk, { key, suspended }: Situation, nowMs: number): AdmitRefusal | null {
  // The same answer, whether the key or only its secret is wrong: nobody learns which ids exist.
  if (key === undefined || !equalInConstantTime(utf8(key.secretSha256), utf8(ask.key.secretSha256)))
    return { kind: "unknown_key" };
  if (key.revokedAtMs !== null) return { kind: "key_revoked" };
  if (key.expiresAtMs !== null && key.expiresAtMs <= nowMs)
    return { kind: "key_expired", expiredAtMs: key.expiresAtMs };
  if (suspended) return { kind: "account_suspended" };
  if (key.models !== null && !key.models.includes(ask.model)) return { kind: "model_forbidden" };
  return null;
}

function rateRefusal({ scopes }: Situation, nowMs: number): AdmitRefusal | null {
  for (const { scope, limits, bucket } of scopes) {
    const max = limits.requestsPerMinute;
    if (max === null) continue;
    const retryAfterMs = waitForOneMs(fill(bucket, max, nowMs), max);
    if (retryAfterMs > 0)
      return { kind: "rate_limited", limit: "requests_per_minute", scope, max, retryAfterMs };
  }
  return null;
}

/** Of several limits a client is shown the one it will meet first. */
function tightest(scopes: readonly Scope[], buckets: readonly (Bucket | undefined)[]): LimitState | null {
  let shown: LimitState | null = null;
  for (const [at, { limits }] of scopes.entries()) {
    const bucket = buckets[at];
    const max = limits.requestsPerMinute;
    if (bucket === undefined || max === null) continue;
    const state = { max, remaining: Math.floor(bucket.left), resetMs: fullInMs(bucket, max) };
    if (shown === null || state.remaining < shown.remaining) shown = state;
  }
  return shown;
}
