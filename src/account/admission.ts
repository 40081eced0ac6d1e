/**
 * Whether a request may start: its key and those that made it, then every limit, then money, in this order. Pure: what the
 * account is and how full its buckets are come as arguments, and nothing is consumed here. A refusal that only other
 * running requests cause says `waitsFor`: one of them may close within the moment the account's object gives it.
 */
import { UpstreamsAllowed, type AdmitAsk, type AdmitRefusal } from "@sluice/protocol/account";
import { equalInConstantTime, utf8 } from "@sluice/protocol/bytes";
import type { KeyScope, Limits } from "../core/limits.ts";
import { sizeHold, type Funds } from "./hold.ts";
import {
  budgetHindrance,
  budgetRoomNanoUsd,
  concurrencyHindrance,
  limitStates,
  repeatsHindrance,
  requestsHindrance,
  tokensHindrance,
  tokensMaxOf,
  type Hindrance,
  type LimitStates,
  type Scope,
} from "./limits.ts";

export type KnownKey = {
  readonly id: string;
  readonly name: string;
  readonly secretSha256: string;
  /** The secret before the last rotation, and until when it still opens; null where there is none. */
  readonly old: { readonly secretSha256: string; readonly untilMs: number } | null;
  readonly lastFour: string;
  readonly scopes: readonly KeyScope[];
  /** The key that made it; null where an operator did. */
  readonly madeBy: string | null;
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly models: readonly string[] | null;
  readonly regions: readonly string[] | null;
  readonly upstreams: UpstreamsAllowed;
  readonly limits: Limits;
};

/** Among the scopes, the account's name. */
export const ACCOUNT = "";

export type Situation = {
  readonly suspended: boolean;
  /** The account's; null: any. */
  readonly regions: readonly string[] | null;
  /** The key, the one that made it, and so on up; empty where there is no such key. */
  readonly path: readonly KnownKey[];
  /** What limits apply to: the account, then the keys from the outermost inwards. */
  readonly scopes: readonly Scope[];
  readonly funds: Funds;
  /** What this call repeats, where its `Idempotency-Key` stands for a request already. */
  readonly repeats: AdmitRefusal | null;
  /** What the cached answer at hand costs; null where there is none, or where it may not be used. */
  readonly hitCostNanoUsd: number | null;
};

export type Verdict =
  | {
      readonly do: "admit";
      readonly outputCeiling: number;
      readonly heldNanoUsd: number;
      readonly limits: LimitStates;
    }
  /** A cached answer: counted like any other request, and nothing runs. */
  | { readonly do: "recall"; readonly costNanoUsd: number; readonly limits: LimitStates }
  | ({ readonly do: "refuse" } & Hindrance);

export function decideAdmission(ask: AdmitAsk, situation: Situation, nowMs: number): Verdict {
  const refusal = callRefusal(ask, situation, nowMs);
  if (refusal !== null) return { do: "refuse", refusal, waitsFor: null };
  const { scopes, funds, repeats, hitCostNanoUsd: costNanoUsd } = situation;
  if (repeats !== null)
    return { do: "refuse", ...(repeatsHindrance(scopes, nowMs) ?? { refusal: repeats, waitsFor: null }) };
  const tooMany = requestsHindrance(scopes, nowMs);
  if (tooMany !== null) return { do: "refuse", ...tooMany };
  const roomNanoUsd = budgetRoomNanoUsd(scopes, nowMs);
  // It takes no place, and what is free of charge is there on an empty balance too.
  if (costNanoUsd !== null && costNanoUsd <= Math.max(0, Math.min(freeOf(funds), roomNanoUsd)))
    return { do: "recall", costNanoUsd, limits: limitStates(scopes, 0, nowMs) };
  const full = concurrencyHindrance(scopes);
  if (full !== null) return { do: "refuse", ...full };
  const size = sizeHold(ask, { ...funds, roomNanoUsd, tokensMax: tokensMaxOf(scopes) });
  if (!size.ok) {
    const { ok: _, ...missing } = size;
    const refusal = { kind: "insufficient_balance", ...missing } as const;
    return { do: "refuse", refusal, waitsFor: size.heldByOthers ? ACCOUNT : null };
  }
  const { outputCeiling, heldNanoUsd } = size;
  const tokens = ask.promptCeiling + outputCeiling;
  const short = budgetHindrance(scopes, heldNanoUsd, nowMs) ?? tokensHindrance(scopes, tokens, nowMs);
  if (short !== null) return { do: "refuse", ...short };
  return { do: "admit", outputCeiling, heldNanoUsd, limits: limitStates(scopes, tokens, nowMs) };
}

function freeOf({ balanceNanoUsd, heldNanoUsd }: Funds): number {
  return balanceNanoUsd - heldNanoUsd;
}

/** What is wrong with the call whatever the limits say; null where nothing is. */
function callRefusal(ask: AdmitAsk, situation: Situation, nowMs: number): AdmitRefusal | null {
  const refusal = keyRefusal(ask.key.secretSha256, situation.path, nowMs);
  if (refusal !== null) return refusal;
  if (situation.suspended) return { kind: "account_suspended" };
  if (!situation.path.every(({ scopes }) => scopes.includes("inference")))
    return { kind: "scope_missing", scope: "inference" };
  if (!situation.path.every(({ models }) => models === null || models.includes(ask.model)))
    return { kind: "model_forbidden" };
  if (allowedRegions(situation)?.length === 0) return { kind: "data_residency_mismatch" };
  return null;
}

/** Whether a key opens now. A key that made others takes them along: revoked or over, they are too. */
export function keyRefusal(
  secretSha256: string,
  path: readonly KnownKey[],
  nowMs: number,
): Extract<AdmitRefusal, { kind: "unknown_key" | "key_revoked" | "key_expired" }> | null {
  const [key] = path;
  // The same answer, whether the key or only its secret is wrong: nobody learns which ids exist.
  if (key === undefined) return { kind: "unknown_key" };
  const isNew = isEqual(key.secretSha256, secretSha256);
  const isOld = isEqual(key.old?.secretSha256 ?? "", secretSha256);
  if (!isNew && !isOld) return { kind: "unknown_key" };
  if (path.some(({ revokedAtMs }) => revokedAtMs !== null)) return { kind: "key_revoked" };
  const ends = path.flatMap(({ expiresAtMs }) => expiresAtMs ?? []);
  if (isOld && key.old !== null) ends.push(key.old.untilMs);
  const expiredAtMs = Math.min(...ends);
  return expiredAtMs <= nowMs ? { kind: "key_expired", expiredAtMs } : null;
}

function isEqual(known: string, shown: string): boolean {
  return equalInConstantTime(utf8(known), utf8(shown));
}

/** The regions that account and keys all allow; null: any. */
export function allowedRegions({
  regions,
  path,
}: Pick<Situation, "regions" | "path">): readonly string[] | null {
  let allowed = regions;
  for (const key of path) {
    if (key.regions === null) continue;
    const here = new Set(key.regions);
    allowed = allowed === null ? key.regions : allowed.filter((region) => here.has(region));
  }
  return allowed;
}

/** What account and keys all allow: the narrowest. */
export function allowedUpstreams(
  account: UpstreamsAllowed,
  path: readonly Pick<KnownKey, "upstreams">[],
): UpstreamsAllowed {
  // From the narrowest to the widest.
  const order = UpstreamsAllowed.options;
  const said = [account, ...path.map(({ upstreams }) => upstreams)];
  return order[Math.min(...said.map((one) => order.indexOf(one)))] ?? "none";
}
