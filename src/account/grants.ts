/**
 * Granted money: what an operator gives away, perhaps until a date. Pure. Spent before what was topped up, and of several
 * grants the one that ends first; given back in the opposite order.
 *
 * Invariants: grants are sorted by their end (never-ending ones last), no two end at the same time, none is empty, and
 * together they are a part of the balance, never more than it. A grant that has ended is gone except for what requests hold
 * that began in time and still run: these alone spend it.
 */
import { assert } from "../core/assert.ts";

export type Grant = { readonly leftNanoUsd: number; readonly expiresAtMs: number | null };
export type Grants = readonly Grant[];

/** Different ends an account's money can have at once: they travel in one row. Beyond it the earliest joins the next. */
export const GRANTS_MAX = 64;

export function grantedNanoUsd(grants: Grants): number {
  return grants.reduce((sum, { leftNanoUsd }) => sum + leftNanoUsd, 0);
}

function endOf({ expiresAtMs }: Pick<Grant, "expiresAtMs">): number {
  return expiresAtMs ?? Number.POSITIVE_INFINITY;
}

export function addGrants(grants: Grants, more: Grants): Grants {
  const byEnd = new Map(grants.map((grant) => [endOf(grant), grant]));
  for (const grant of more) {
    if (grant.leftNanoUsd === 0) continue;
    assert(grant.leftNanoUsd > 0, "a grant gives");
    const known = byEnd.get(endOf(grant))?.leftNanoUsd ?? 0;
    byEnd.set(endOf(grant), { ...grant, leftNanoUsd: known + grant.leftNanoUsd });
  }
  const sorted = [...byEnd.values()].toSorted((a, b) => (endOf(a) < endOf(b) ? -1 : 1));
  const [first, second] = sorted;
  if (sorted.length <= GRANTS_MAX || first === undefined || second === undefined) return sorted;
  // Nobody's money ends earlier than was said.
  return addGrants(sorted.slice(1), [{ ...second, leftNanoUsd: first.leftNanoUsd }]);
}

export type Taken = { readonly grants: Grants; readonly taken: Grants };

/** Takes up to this much, from the grant that ends first of those that end after `sinceMs`. */
export function takeGranted(
  grants: Grants,
  nanoUsd: number,
  sinceMs: number = Number.NEGATIVE_INFINITY,
): Taken {
  let missing = Math.max(0, nanoUsd);
  const left: Grant[] = [];
  const taken: Grant[] = [];
  for (const grant of grants) {
    const part = endOf(grant) > sinceMs ? Math.min(missing, grant.leftNanoUsd) : 0;
    missing -= part;
    if (part > 0) taken.push({ ...grant, leftNanoUsd: part });
    if (part < grant.leftNanoUsd) left.push({ ...grant, leftNanoUsd: grant.leftNanoUsd - part });
  }
  return { grants: left, taken };
}

/**
 * What a refund gives back of what a request was charged: what was spent last, first. `charged` is all it was charged,
 * `fromGrants` the part of it that was granted.
 */
export function refund(
  charged: number,
  fromGrants: Grants,
  nanoUsd: number,
): { readonly back: Grants; readonly fromGrants: Grants } {
  const toppedUp = Math.max(0, charged - grantedNanoUsd(fromGrants));
  let rest = Math.max(0, nanoUsd - toppedUp);
  const back: Grant[] = [];
  const kept: Grant[] = [];
  for (const grant of fromGrants.toReversed()) {
    const part = Math.min(rest, grant.leftNanoUsd);
    rest -= part;
    if (part > 0) back.push({ ...grant, leftNanoUsd: part });
    if (part < grant.leftNanoUsd) kept.push({ ...grant, leftNanoUsd: grant.leftNanoUsd - part });
  }
  return { back: back.toReversed(), fromGrants: kept.toReversed() };
}

/**
 * What is to be taken off the balance now, and what stays: of a grant that has ended, as much as requests hold that run and
 * began before its end, and hold of no grant that ended earlier.
 */
export function endGrants(
  grants: Grants,
  heldBefore: (endMs: number) => number,
  nowMs: number,
): { readonly grants: Grants; readonly endedNanoUsd: number } {
  let [kept, endedNanoUsd] = [0, 0];
  const left: Grant[] = [];
  for (const grant of grants) {
    const endMs = endOf(grant);
    const { leftNanoUsd } = grant;
    const stays = endMs > nowMs ? leftNanoUsd : Math.min(leftNanoUsd, Math.max(0, heldBefore(endMs) - kept));
    if (endMs <= nowMs) kept += stays;
    endedNanoUsd += leftNanoUsd - stays;
    if (stays > 0) left.push({ ...grant, leftNanoUsd: stays });
  }
  return { grants: left, endedNanoUsd };
}

/** When the next grant ends; null where none does. One that has ended already waits for its holds, not for a time. */
export function nextEndMs(grants: Grants, nowMs: number): number | null {
  return grants.find((grant) => grant.expiresAtMs !== null && grant.expiresAtMs > nowMs)?.expiresAtMs ?? null;
}
