/**
 * From what an operator gives to what the object keeps: what is given changes, the rest stays. Pure.
 */
import { toHex } from "@sluice/protocol/bytes";
import type { AccountSettings, KeySettings } from "../core/account.ts";
import type { KnownKey } from "./admission.ts";
import type { AccountState } from "./rows.ts";

/** `salt` is 16 random bytes, used where the account is new. */
export function configured(
  known: AccountState | undefined,
  given: AccountSettings,
  salt: Uint8Array,
): AccountState {
  const base: AccountState = known ?? {
    account: given.account,
    name: given.account,
    suspended: false,
    regions: null,
    requestsPerMinute: null,
    concurrency: null,
    cacheSalt: toHex(salt),
    balanceNanoUsd: 0,
    grants: [],
    lastSeq: 0,
    appliedSeq: 0,
  };
  return {
    ...base,
    name: given.name ?? base.name,
    suspended: given.suspended ?? base.suspended,
    regions: given.regions === undefined ? base.regions : given.regions === null ? null : [...given.regions],
    requestsPerMinute:
      given.requestsPerMinute === undefined ? base.requestsPerMinute : given.requestsPerMinute,
    concurrency: given.concurrency === undefined ? base.concurrency : given.concurrency,
  };
}

/** A key that is put again keeps its revocation: nothing un-revokes a key. */
export function keyed(given: KeySettings, known: KnownKey | undefined): KnownKey {
  return {
    id: given.id,
    name: given.name,
    secretSha256: given.secretSha256,
    expiresAtMs: given.expiresAtMs ?? null,
    models: given.models ?? null,
    requestsPerMinute: given.requestsPerMinute ?? null,
    concurrency: given.concurrency ?? null,
    revokedAtMs: known?.revokedAtMs ?? null,
  };
}
