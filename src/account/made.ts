/**
 * What a key may give to a key that it makes: no more than it has itself. Pure. What is left out is the maker's own. Every
 * admission asks the makers' limits too (limits.ts), so this is for clear errors at the making, not the wall itself.
 */
import type { KeyChange, KeySettings } from "../core/account.ts";
import { KEY_SCOPES_DEFAULT, limited, type Limits } from "../core/limits.ts";
import type { KnownKey } from "./admission.ts";
import { keyed } from "./settings.ts";

export type Exceeding = keyof Limits | "models" | "regions" | "expiresAtMs" | "scopes";

export type Made =
  | { readonly ok: true; readonly key: KnownKey }
  /** The field in which the maker has less. */
  | { readonly ok: false; readonly field: Exceeding };

export function madeUnder(maker: KnownKey, given: KeySettings): Made {
  const scopes = given.scopes ?? KEY_SCOPES_DEFAULT.filter((scope) => maker.scopes.includes(scope));
  const whole = {
    ...limited(maker.limits, given),
    expiresAtMs: given.expiresAtMs === undefined ? maker.expiresAtMs : given.expiresAtMs,
    models: given.models === undefined ? maker.models : given.models,
    regions: given.regions === undefined ? maker.regions : given.regions,
    scopes,
  };
  const field = exceeding(maker, whole);
  if (field !== null) return { ok: false, field };
  return { ok: true, key: { ...keyed({ ...given, ...whole }, undefined), madeBy: maker.id } };
}

/** In which of what is given the maker has less; null where in none. What is left out is not looked at. */
export function exceeding(maker: KnownKey, given: KeyChange): Exceeding | null {
  for (const field of Object.keys(maker.limits) as (keyof Limits)[])
    if (given[field] !== undefined && isMore(given[field], maker.limits[field])) return field;
  const { expiresAtMs, models, regions, scopes } = given;
  if (expiresAtMs !== undefined && isMore(expiresAtMs, maker.expiresAtMs)) return "expiresAtMs";
  if (models !== undefined && isWider(models, maker.models)) return "models";
  if (regions !== undefined && isWider(regions, maker.regions)) return "regions";
  if (scopes !== undefined && (scopes.length === 0 || isWider(scopes, maker.scopes))) return "scopes";
  return null;
}

/** As `exceeding`, of a key's maker, that one's maker and so on: one of them may have been narrowed since it made the next. */
export function exceedingAny(makers: readonly KnownKey[], given: KeyChange): Exceeding | null {
  for (const maker of makers) {
    const field = exceeding(maker, given);
    if (field !== null) return field;
  }
  return null;
}

/** Null is no limit at all. */
function isMore(value: number | null, max: number | null): boolean {
  return max !== null && (value === null || value > max);
}

function isWider(names: readonly string[] | null, allowed: readonly string[] | null): boolean {
  return allowed !== null && (names === null || !names.every((name) => allowed.includes(name)));
}
