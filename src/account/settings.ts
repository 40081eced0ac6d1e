/**
 * From what an operator gives to what the object keeps: what is given changes, the rest stays. Pure.
 */
import { toHex } from "@sluice/protocol/bytes";
import type { AccountSettings, KeyChange, KeySettings } from "../core/account.ts";
import { KEY_SCOPES_DEFAULT, limited, NO_LIMITS } from "../core/limits.ts";
import type { KnownKey } from "./admission.ts";
import { NO_COUNTERS } from "./counters.ts";
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
    upstreams: "none",
    limits: NO_LIMITS,
    cacheSalt: toHex(salt),
    balanceNanoUsd: 0,
    grants: [],
    counters: JSON.stringify(NO_COUNTERS),
    lastSeq: 0,
    appliedSeq: 0,
  };
  return {
    ...base,
    name: given.name ?? base.name,
    suspended: given.suspended ?? base.suspended,
    regions: given.regions === undefined ? base.regions : copied(given.regions),
    upstreams: given.upstreams ?? base.upstreams,
    limits: limited(base.limits, given),
  };
}

/** A key that is put again keeps its revocation: nothing un-revokes a key. */
export function keyed(given: KeySettings, known: KnownKey | undefined): KnownKey {
  return {
    id: given.id,
    name: given.name,
    secretSha256: given.secretSha256,
    old: null,
    lastFour: given.lastFour ?? "",
    scopes: [...(given.scopes ?? KEY_SCOPES_DEFAULT)],
    madeBy: known?.madeBy ?? null,
    expiresAtMs: given.expiresAtMs ?? null,
    models: copied(given.models ?? null),
    regions: copied(given.regions ?? null),
    upstreams: given.upstreams ?? "any",
    limits: limited(NO_LIMITS, given),
    revokedAtMs: known?.revokedAtMs ?? null,
  };
}

export function rekeyed(known: KnownKey, change: KeyChange): KnownKey {
  return {
    ...known,
    name: change.name ?? known.name,
    scopes: [...(change.scopes ?? known.scopes)],
    expiresAtMs: change.expiresAtMs === undefined ? known.expiresAtMs : change.expiresAtMs,
    models: change.models === undefined ? known.models : copied(change.models),
    regions: change.regions === undefined ? known.regions : copied(change.regions),
    upstreams: change.upstreams ?? known.upstreams,
    limits: limited(known.limits, change),
  };
}

function copied(names: readonly string[] | null): string[] | null {
  return names === null ? null : [...names];
}
