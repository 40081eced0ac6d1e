/**
 * API keys: `sk-sluice-<secret id>-<home>-<account>-<key>-<secret>-<check>`. Home and account are the account's id, the
 * key part is the key's id, so a call finds its account's object without any look-up. The secret is what the object
 * compares (as a SHA-256) and nobody else ever stores.
 *
 * `check` is a truncated HMAC of everything before it under a deployment secret. It is not what authenticates: it makes
 * garbage, typing errors and other deployments' keys cost a hash and no storage. It names the secret it was made under,
 * so that a second secret can become current without touching any key; a key dies with its secret only when the
 * operator drops that secret.
 *
 * Pure: random bytes are arguments, nothing here does I/O.
 */
import { equalInConstantTime, toHex, utf8 } from "@sluice/protocol/bytes";
import { AccountId, KeyId, randomName } from "@sluice/protocol/ids";
import { assert } from "../core/assert.ts";
import { apiKeyKey, type Secrets } from "../core/secrets.ts";

/** Longer than any key can be: refused before a pattern is tried. */
const KEY_CHARS_MAX = 128;
const SECRET_CHARS = 32;
/** 12 letters of base 32: 60 bits, which a guess has to hit before it may touch storage. */
const CHECK_CHARS = 12;

/** Random bytes that `makeKey` needs. */
export const KEY_DICE_BYTES = SECRET_CHARS;

const SHAPE =
  /^sk-sluice-([a-z0-9]{1,8})-([a-z]{2,8})-([a-z0-9]{12})-([a-z0-9]{10})-([0-9a-hjkmnp-tv-z]{32})-([0-9a-hjkmnp-tv-z]{12})$/;

export type ParsedKey = {
  /** Which deployment secret the check was made under. */
  readonly secretId: string;
  readonly account: string;
  readonly keyId: string;
  readonly secret: string;
  /** What the check covers: everything before it. */
  readonly checked: string;
  readonly check: string;
};

/** What the rest of the house needs to know of a key whose check holds. */
export type CheckedKey = {
  readonly account: string;
  readonly keyId: string;
  readonly secretSha256: string;
};

/** The parts of a key, by format alone; undefined where it is none. */
export function parseKey(text: string): ParsedKey | undefined {
  if (text.length > KEY_CHARS_MAX) return undefined;
  const match = SHAPE.exec(text);
  if (match === null) return undefined;
  const [, secretId = "", home = "", account = "", key = "", secret = "", check = ""] = match;
  return {
    secretId,
    account: `acc_${home}_${account}`,
    keyId: `key_${key}`,
    secret,
    checked: text.slice(0, -(CHECK_CHARS + 1)),
    check,
  };
}

/**
 * The key, where this deployment made it; undefined for everything else. A pass says nothing about revocation or
 * balance: the account's object does.
 */
export async function checkKey(secrets: Secrets, text: string): Promise<CheckedKey | undefined> {
  const parsed = parseKey(text);
  if (parsed === undefined) return undefined;
  const check = await checkOf(secrets, parsed.secretId, parsed.checked);
  if (check === undefined || !equalInConstantTime(utf8(check), utf8(parsed.check))) return undefined;
  return {
    account: parsed.account,
    keyId: parsed.keyId,
    secretSha256: await sha256Hex(parsed.secret),
  };
}

/** A new key under the current secret. `dice` are KEY_DICE_BYTES random bytes; the key is shown once and forgotten. */
export async function makeKey(
  secrets: Secrets,
  names: { readonly account: string; readonly keyId: string },
  dice: Uint8Array,
): Promise<{ readonly key: string; readonly secretSha256: string; readonly lastFour: string }> {
  assert(AccountId.safeParse(names.account).success, "a key is made for a well-formed account id");
  assert(KeyId.safeParse(names.keyId).success, "a key is made with a well-formed key id");
  assert(dice.length >= KEY_DICE_BYTES, "a key's secret is made of enough random bytes");
  const [, home, account] = names.account.split("_");
  const secret = randomName(SECRET_CHARS, dice);
  const checked = `sk-sluice-${secrets.current}-${home}-${account}-${names.keyId.slice(4)}-${secret}`;
  const check = await checkOf(secrets, secrets.current, checked);
  assert(check !== undefined, "the current secret is there");
  const key = `${checked}-${check}`;
  return { key, secretSha256: await sha256Hex(secret), lastFour: key.slice(-4) };
}

async function checkOf(secrets: Secrets, secretId: string, text: string): Promise<string | undefined> {
  const key = await apiKeyKey(secrets, secretId);
  if (key === undefined) return undefined;
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8(text)));
  // Five bits of each byte: the MAC's bytes serve as the dice of a name.
  return randomName(CHECK_CHARS, mac);
}

async function sha256Hex(text: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text))));
}
