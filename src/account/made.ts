/**
 * What a key may give to a key that it makes: no more than it has itself. Pure. What is left out is the maker's own. Every
 * admission asks the makers' limits too (limits.ts), so this is for clear errors at the making, not the wall itself.
 */
import type { KeySettings } from "../core/account.ts";
import { KEY_SCOPES_DEFAULT, limited, type Limits } from "../core/limits.ts";
import type { KnownKey } from "./admission.ts";
import { keyed } from "./settings.ts";

export type Made =
  | { readonly ok: true; readonly key: KnownKey }
  /** The field in which the maker has less. */
  | { readonly ok: false; readonly field: keyof Limits | "models" | "regions" | "expiresAtMs" | "scopes" };

export function madeUnder(maker: KnownKey, given: KeySettings): Made {
  const limits = limited(maker.limits, given);
  for (const field of Object.keys(limits) as (keyof Limits)[])
    if (isMore(limits[field], maker.limits[field])) return { ok: false, field };
  const expiresAtMs = given.expiresAtMs === undefined ? maker.expiresAtMs : given.expiresAtMs;
  if (isMore(expiresAtMs, maker.expiresAtMs)) return { ok: false, field: "expiresAtMs" };
  const models = given.models === undefined ? maker.models : given.models;
  if (isWider(models, maker.models)) return { ok: false, field: "models" };
  const regions = given.regions === undefined ? maker.regions : given.regions;
  if (isWider(regions, maker.regions)) return { ok: false, field: "regions" };
  const scopes = given.scopes ?? KEY_SCOPES_DEFAULT.filter((scope) => maker.scopes.includes(scope));
  if (scopes.length === 0 || isWider(scopes, maker.scopes)) return { ok: false, field: "scopes" };
  const key = keyed({ ...given, ...limits, expiresAtMs, models, regions, scopes }, undefined);
  return { ok: true, key: { ...key, madeBy: maker.id } };
}

/** Null is no limit at all. */
function isMore(value: number | null, max: number | null): boolean {
  return max !== null && (value === null || value > max);
}

function isWider(names: readonly string[] | null, allowed: readonly string[] | null): boolean {
  return allowed !== null && (names === null || !names.every((name) => allowed.includes(name)));
}
