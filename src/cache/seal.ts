/**
 * Kept answers are sealed: AES-256-GCM under a key that HKDF makes from the deployment's secret and the account's salt.
 * The salt comes with each admission and is kept nowhere at the edge but as that key, so forgetting it in the account's
 * object forgets every answer, everywhere, at once. The name is authenticated with the text: a value that was moved to
 * another name, or another account, does not open.
 *
 * In front of the sealed text stands a head in the clear, authenticated too: the counts a hit's row needs, its age, and
 * which salt it was sealed under. It has to be readable before the admission that brings the salt.
 */
import { saltId as saltIdOf } from "@sluice/protocol/account";
import { concat, fromUtf8, utf8, type Bytes } from "@sluice/protocol/bytes";
import { z } from "zod";
import type { AnswerName } from "./name.ts";

const NONCE_BYTES = 12;
const HEAD_BYTES_MAX = 512;
const LINE_FEED = 10;
/** Accounts whose keys an isolate keeps ready. */
const KEYS_MAX = 512;

const tokens = z.int().min(0);

export const AnswerHead = z.strictObject({
  v: z.literal(1),
  salt: z.string().max(64),
  atMs: z.int().min(0),
  expiresAtMs: z.int().min(0),
  promptTokens: tokens,
  cachedTokens: tokens,
  completionTokens: tokens,
  reasoningTokens: tokens,
});
export type AnswerHead = z.infer<typeof AnswerHead>;

/** An answer as it is kept: readable head, sealed text. */
export type SealedAnswer = { readonly head: AnswerHead; readonly bytes: Bytes };

export type SealKey = { readonly key: CryptoKey; readonly saltId: string };

/** By secret id, account and salt. Bounded; losing it costs a derivation. */
const keys = new Map<string, SealKey>();

/** `secret` gives the deployment's key for this purpose; `secretId` names it. */
export async function sealKey(
  secretId: string,
  secret: () => Promise<Bytes>,
  account: string,
  salt: string,
): Promise<SealKey> {
  const name = `${secretId} ${account} ${salt}`;
  const known = keys.get(name);
  if (known !== undefined) return known;
  const base = await crypto.subtle.importKey("raw", await secret(), "HKDF", false, ["deriveKey"]);
  const key = await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: utf8(salt), info: utf8(`sluice/1 answer\n${account}`) },
    base,
    { name: "AES-GCM", length: 256 },
    false,
    ["encrypt", "decrypt"],
  );
  const made = { key, saltId: saltIdOf(salt) };
  if (keys.size >= KEYS_MAX) keys.clear();
  keys.set(name, made);
  return made;
}

/** `nonce` is 12 random bytes. */
export async function seal(
  { key, saltId }: SealKey,
  name: AnswerName,
  { text, ...head }: Omit<AnswerHead, "v" | "salt"> & { readonly text: string },
  nonce: Bytes,
): Promise<SealedAnswer> {
  const whole: AnswerHead = { v: 1, salt: saltId, ...head };
  const line = utf8(`${JSON.stringify(whole)}\n`);
  const sealed = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: nonce, additionalData: bound(name, line) },
    key,
    utf8(text),
  );
  return { head: whole, bytes: concat(line, nonce, new Uint8Array(sealed)) };
}

/** The head of what some layer gave back; undefined where it is nothing of ours, or too old. */
export function readSealed(bytes: Bytes, nowMs: number): SealedAnswer | undefined {
  const end = bytes.subarray(0, HEAD_BYTES_MAX).indexOf(LINE_FEED);
  if (end < 0) return undefined;
  try {
    const head = AnswerHead.safeParse(JSON.parse(fromUtf8(bytes.subarray(0, end)))).data;
    return head === undefined || head.expiresAtMs <= nowMs ? undefined : { head, bytes };
  } catch {
    return undefined;
  }
}

/** The text; undefined where the value is cut, changed, of another name, or sealed under another salt. */
export async function open(
  { key, saltId }: SealKey,
  name: AnswerName,
  { head, bytes }: SealedAnswer,
): Promise<string | undefined> {
  if (head.salt !== saltId) return undefined;
  const start = bytes.indexOf(LINE_FEED) + 1;
  const iv = bytes.slice(start, start + NONCE_BYTES);
  if (iv.length !== NONCE_BYTES) return undefined;
  try {
    const additionalData = bound(name, bytes.subarray(0, start));
    const algorithm = { name: "AES-GCM", iv, additionalData };
    return fromUtf8(
      new Uint8Array(await crypto.subtle.decrypt(algorithm, key, bytes.slice(start + NONCE_BYTES))),
    );
  } catch {
    return undefined;
  }
}

function bound(name: AnswerName, headLine: Uint8Array): Bytes {
  return concat(utf8(`sluice-answer\n${name.account}\n${name.text}\n`), headLine);
}
