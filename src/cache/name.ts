/**
 * The name under which an answer is kept: a keyed hash of whose it is and what was asked. Whoever sees names (KV keys,
 * cache urls) learns nothing from them and cannot look for a prompt he guesses.
 *
 * Account and isolation tag are arguments of their own, and required: a cache that could be asked without them would
 * one day be. Each part is preceded by its length, so that no two lists of parts become the same text.
 */
import { toBase64Url, utf8 } from "@sluice/protocol/bytes";

export type AnswerName = {
  /** 43 characters of base64url, behind the id of the secret it was made under. */
  readonly text: string;
  readonly account: string;
};

export type NameKey = { readonly secretId: string; readonly hmac: CryptoKey };

/** `what` begins with what kind of thing is kept; `weights` and the canonical request follow. */
export async function nameAnswer(
  key: NameKey,
  account: string,
  tag: string,
  what: readonly string[],
): Promise<AnswerName> {
  const parts = [account, tag, ...what].map((part) => `${part.length}:${part}`).join("");
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key.hmac, utf8(parts)));
  return { text: `${key.secretId}-${toBase64Url(mac)}`, account };
}
