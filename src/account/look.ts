/**
 * What a key may know of itself, its account and its requests. Pure. Whoever shows the secret of a key that is for it may look, also while
 * the account is suspended or its money is gone: that is when one wants to know.
 */
import type { LookAnswer, LookAsk, RunningRequest } from "../core/account.ts";
import { keyRefusal, type KnownKey } from "./admission.ts";
import type { Hold } from "./facts.ts";
import { trace } from "./post.ts";

type Refusal = Extract<LookAnswer, { ok: false }>["refusal"];

/** As an admission says it: one answer for a key that is not there and one whose secret is another. */
export function lookRefusal(ask: LookAsk, path: readonly KnownKey[], nowMs: number): Refusal | null {
  const refusal = keyRefusal(ask.key.secretSha256, path, nowMs);
  if (refusal !== null) return refusal;
  return path.every(({ scopes }) => scopes.includes("usage"))
    ? null
    : { kind: "scope_missing", scope: "usage" };
}

export function running(hold: Hold): RunningRequest {
  const { request, key, model, stream, admittedAtMs } = hold;
  const attempts = hold.attempts.map(trace);
  return { kind: "running", request, key, model, stream, priceId: hold.price.id, admittedAtMs, attempts };
}
