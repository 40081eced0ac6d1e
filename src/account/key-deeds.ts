/**
 * What a key with the scope `keys` may do: make keys, and list, change, rotate and revoke those it made, or that these made. Called
 * inside turns. A key below another is told by its path alone, so there is no id to guess.
 */
import type { KeyDeedAnswer, KeyDeedAsk } from "../core/account.ts";
import { keyRefusal, type KnownKey } from "./admission.ts";
import type { Books } from "./books.ts";
import { PATH_MAX } from "./keyring.ts";
import { changeKey, keyStatus, revokeKey, rotateKey } from "./keys.ts";
import { exceedingAny, madeUnder } from "./made.ts";

/** Keys below one key, revoked ones included: they are listed whole. */
export const KEYS_BELOW_MAX = 1_000;

type Refusal = Extract<KeyDeedAnswer, { ok: false }>["refusal"];

export function doAsKey(books: Books, ask: KeyDeedAsk, nowMs: number): KeyDeedAnswer {
  const path = books.keyring.path(ask.key.id);
  const refusal = keyRefusal(ask.key.secretSha256, path, nowMs);
  const [who] = path;
  if (refusal !== null || who === undefined) return refused(refusal ?? { kind: "unknown_key" });
  if (!path.every(({ scopes }) => scopes.includes("keys")))
    return refused({ kind: "scope_missing", scope: "keys" });
  const { deed } = ask;
  if (deed.do === "make") return make(books, { path, who, deed }, nowMs);
  if (deed.do === "list") {
    const keys = books.store.keys.below(who.id, KEYS_BELOW_MAX).flatMap((id) => books.keyring.get(id) ?? []);
    return { ok: true, keys: keys.map((key) => keyStatus(books, key, nowMs)) };
  }
  const [key, ...makers] = books.keyring.path(deed.id);
  if (key === undefined || !makers.some(({ id }) => id === who.id)) return refused({ kind: "not_below" });
  if (deed.do === "change") {
    // Whichever of them asks: each may be the narrowest.
    const field = exceedingAny(makers, deed.change);
    if (field !== null) return refused({ kind: "exceeds_maker", field });
    changeKey(books, key.id, deed.change);
  } else if (deed.do === "rotate") rotateKey(books, key.id, deed.rotation, nowMs);
  else revokeKey(books, key.id, nowMs);
  return shown(books, key.id, nowMs);
}

function make(
  books: Books,
  by: {
    readonly path: readonly KnownKey[];
    readonly who: KnownKey;
    readonly deed: Extract<KeyDeedAsk["deed"], { do: "make" }>;
  },
  nowMs: number,
): KeyDeedAnswer {
  if (by.path.length >= PATH_MAX) return refused({ kind: "too_deep", max: PATH_MAX });
  // It is one more below each of them.
  if (by.path.some(({ id }) => books.store.keys.below(id, KEYS_BELOW_MAX).length >= KEYS_BELOW_MAX))
    return refused({ kind: "too_many", max: KEYS_BELOW_MAX });
  const field = exceedingAny(by.path, by.deed.key);
  if (field !== null) return refused({ kind: "exceeds_maker", field });
  const made = madeUnder(by.who, by.deed.key);
  if (!made.ok) return refused({ kind: "exceeds_maker", field: made.field });
  books.keyring.put(made.key);
  return shown(books, made.key.id, nowMs);
}

function shown(books: Books, id: string, nowMs: number): KeyDeedAnswer {
  const key = books.keyring.get(id);
  return { ok: true, keys: key === undefined ? [] : [keyStatus(books, key, nowMs)] };
}

function refused(refusal: Refusal): KeyDeedAnswer {
  return { ok: false, refusal };
}
