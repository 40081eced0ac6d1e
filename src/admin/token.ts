/**
 * Who calls the admin interface: the operator, who holds the one token of the deployment and may do everything, or an
 * admin key, which may do what its scopes say until it expires or is revoked. A deployment without a usable token
 * refuses everything: an admin interface that is open by accident is how others lost their customers' keys.
 *
 * A key is looked up anew for every call and nothing of it is remembered, so that a revocation holds from the next call
 * on. Its format is checked before anything is asked of D1; and ids that this isolate has never seen a key of are looked up
 * so often a second, so that guesses are no load. The operator's token needs no look-up.
 */
import { equalInConstantTime, toHex, utf8 } from "@sluice/protocol/bytes";
import { randomName } from "@sluice/protocol/ids";
import { z } from "zod";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { PerSecond } from "../core/per-second.ts";
import { adminKeyById } from "../db/admin-keys.ts";
import { Scope } from "./scopes.ts";

const ADMIN_TOKEN_CHARS_MIN = 24;

/** What local runs use. It is in the source, so outside of them it opens nothing. */
export const DEV_ADMIN_TOKEN = "sluice-dev-admin-token-for-local-runs-only";

/** As the audit log knows whoever holds the deployment's token. */
export const OPERATOR = "token";

const GUESSES_PER_SECOND_MAX = 20;
/** Beyond it memory starts anew. */
const IDS_MAX = 1_000;

const ID_CHARS = 10;
const SECRET_CHARS = 32;
const SHAPE = /^sk-admin-([0-9a-hjkmnp-tv-z]{10})-([0-9a-hjkmnp-tv-z]{32})$/;

export const AdminKeyId = z.string().regex(/^adm_[0-9a-z]{10}$/);

type TokenEnv = { readonly SLUICE_ADMIN_TOKEN?: string; readonly SLUICE_DEV?: string };

export type Admin = {
  /** An admin key's id, or OPERATOR. */
  readonly id: string;
  /** Null: everything. */
  readonly scopes: readonly Scope[] | null;
  readonly expiresAtMs: number | null;
};

/** Why nobody can be let in, as a sentence for the operator; undefined where the token is usable. */
export function whyClosed(env: TokenEnv): string | undefined {
  const token = env.SLUICE_ADMIN_TOKEN ?? "";
  if (token === "") return "the admin interface is closed: the secret SLUICE_ADMIN_TOKEN is not set";
  if (token.length < ADMIN_TOKEN_CHARS_MIN)
    return `the admin interface is closed: SLUICE_ADMIN_TOKEN has fewer than ${ADMIN_TOKEN_CHARS_MIN} characters`;
  if (token === DEV_ADMIN_TOKEN && env.SLUICE_DEV !== "1")
    return "the admin interface is closed: SLUICE_ADMIN_TOKEN is the one local runs use, which everybody knows";
  return undefined;
}

const guesses = new PerSecond(GUESSES_PER_SECOND_MAX);
/** Ids that there are, or were: whoever shows one is looked up, whatever others guess. */
const ids = new Set<string>();

/** Who shows this header; undefined where nobody does who may come in. Throws where D1 cannot tell, or is asked too often. */
export async function findAdmin(
  env: Env,
  authorization: string | null,
  nowMs: number,
): Promise<Admin | undefined> {
  const shown = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
  if (shown === undefined || whyClosed(env) !== undefined) return undefined;
  // Digests are compared, so that the time it takes says nothing about the token, not even its length.
  const [a, b] = await Promise.all([sha256(shown), sha256(env.SLUICE_ADMIN_TOKEN)]);
  if (equalInConstantTime(a, b)) return { id: OPERATOR, scopes: null, expiresAtMs: null };
  const name = SHAPE.exec(shown)?.[1];
  if (name === undefined) return undefined;
  if (!ids.has(name) && !guesses.take(nowMs))
    throw new FaultError({ kind: "overloaded", retryAfterMs: 1_000, edge: true });
  const row = await adminKeyById(env, `adm_${name}`);
  if (row !== undefined) {
    if (ids.size >= IDS_MAX) ids.clear();
    ids.add(name);
  }
  if (row === undefined || !equalInConstantTime(utf8(row.secretSha256), utf8(toHex(a)))) return undefined;
  if (row.revokedAtMs !== null || (row.expiresAtMs ?? Infinity) <= nowMs) return undefined;
  return { id: row.id, scopes: z.array(Scope).parse(JSON.parse(row.scopes)), expiresAtMs: row.expiresAtMs };
}

export type MadeAdminKey = {
  readonly id: string;
  /** Shown once. */
  readonly secret: string;
  readonly secretSha256: string;
  readonly lastFour: string;
};

/** Random bytes that `makeAdminKey` needs. */
export const ADMIN_KEY_DICE_BYTES = ID_CHARS + SECRET_CHARS;

export async function makeAdminKey(dice: Uint8Array): Promise<MadeAdminKey> {
  const name = randomName(ID_CHARS, dice);
  const secret = `sk-admin-${name}-${randomName(SECRET_CHARS, dice.subarray(ID_CHARS))}`;
  return {
    id: `adm_${name}`,
    secret,
    secretSha256: toHex(await sha256(secret)),
    lastFour: secret.slice(-4),
  };
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text)));
}
