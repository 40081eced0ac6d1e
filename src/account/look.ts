/**
 * What a key may know of itself, its account and its requests. Pure. Whoever shows a key's secret may look, also while
 * the account is suspended or its money is gone: that is when one wants to know.
 */
import { equalInConstantTime, utf8 } from "@sluice/protocol/bytes";
import type { KeyStatus, LookAnswer, LookAsk, RunningRequest } from "../core/account.ts";
import type { KnownKey } from "./admission.ts";
import type { Hold } from "./facts.ts";
import { trace } from "./post.ts";

type Refusal = Extract<LookAnswer, { ok: false }>["refusal"];

/** As an admission says it: one answer for a key that is not there and one whose secret is another. */
export function lookRefusal(ask: LookAsk, key: KnownKey | undefined, nowMs: number): Refusal | null {
  if (key === undefined || !equalInConstantTime(utf8(key.secretSha256), utf8(ask.key.secretSha256)))
    return { kind: "unknown_key" };
  if (key.revokedAtMs !== null) return { kind: "key_revoked" };
  if (key.expiresAtMs !== null && key.expiresAtMs <= nowMs)
    return { kind: "key_expired", expiredAtMs: key.expiresAtMs };
  return null;
}

export function keyStatus(key: KnownKey, open: number): KeyStatus {
  const { id, name, expiresAtMs, models, requestsPerMinute, concurrency } = key;
  return { id, name, expiresAtMs, models, requestsPerMinute, concurrency, open };
}

export function running(hold: Hold): RunningRequest {
  const { request, key, model, stream, admittedAtMs } = hold;
  const attempts = hold.attempts.map(trace);
  return { kind: "running", request, key, model, stream, priceId: hold.price.id, admittedAtMs, attempts };
}
