/**
 * What can be done to the keys of an account: made, changed, given a new secret, revoked, looked at. Called inside turns.
 */
import type { KeyChange, KeyRotation, KeySettings, KeyStatus, UsedNow } from "../core/account.ts";
import { assert } from "../core/assert.ts";
import { allowedUpstreams, type KnownKey } from "./admission.ts";
import type { Books } from "./books.ts";
import { keyed, rekeyed } from "./settings.ts";
import { asOf } from "./used.ts";

export function putKey(books: Books, key: KeySettings): void {
  assert(books.account !== undefined, "a key belongs to an account that exists");
  books.keyring.put(keyed(key, books.keyring.get(key.id)));
  if (key.cache !== undefined) books.answers.set(key.id, key.cache);
}

/** False where there is no such key. */
export function changeKey(books: Books, id: string, change: KeyChange): boolean {
  const key = books.keyring.get(id);
  if (key === undefined) return false;
  books.keyring.put(rekeyed(key, change));
  if (change.cache !== undefined) books.answers.set(id, change.cache);
  return true;
}

/** The new secret opens from now on; the one before it until a moment, and any older one no more. */
export function rotateKey(books: Books, id: string, rotation: KeyRotation, nowMs: number): boolean {
  const key = books.keyring.get(id);
  if (key === undefined) return false;
  const { secretSha256, lastFour, oldUntilMs } = rotation;
  const old = oldUntilMs > nowMs ? { secretSha256: key.secretSha256, untilMs: oldUntilMs } : null;
  books.keyring.put({ ...key, secretSha256, lastFour, old });
  return true;
}

export function revokeKey(books: Books, id: string, nowMs: number): boolean {
  const key = books.keyring.get(id);
  if (key === undefined) return false;
  // The first revocation is the one that is remembered.
  if (key.revokedAtMs === null) books.keyring.put({ ...key, revokedAtMs: nowMs });
  return true;
}

export function keyStatus(books: Books, key: KnownKey, nowMs: number): KeyStatus {
  const { id, name, lastFour, madeBy, expiresAtMs, limits } = key;
  // A key goes with its maker.
  const revoked = books.keyring.path(id).flatMap((one) => one.revokedAtMs ?? []);
  const revokedAtMs = revoked.length === 0 ? null : Math.min(...revoked);
  const old = key.old !== null && key.old.untilMs > nowMs ? key.old.untilMs : null;
  return {
    id,
    name,
    lastFour,
    scopes: [...key.scopes],
    madeBy,
    expiresAtMs,
    revokedAtMs,
    models: key.models === null ? null : [...key.models],
    regions: key.regions === null ? null : [...key.regions],
    upstreams: allowedUpstreams("any", books.keyring.path(id)),
    ...limits,
    oldSecretUntilMs: old,
    used: usedNow(books, id, nowMs),
  };
}

/** `id` is a key's, or "" for the account. */
export function usedNow(books: Books, id: string, nowMs: number): UsedNow {
  const used = asOf(books.scopes.used(id), nowMs);
  const { heldNanoUsd, open } = books.scopes.tally(id);
  return {
    requestsToday: used.dayRequests,
    spentTodayNanoUsd: used.dayNanoUsd,
    spentThisMonthNanoUsd: used.monthNanoUsd,
    spentNanoUsd: used.totalNanoUsd,
    heldNanoUsd,
    open,
  };
}
