/**
 * The secret an upstream wants to see, sealed: AES-256-GCM under a key that is derived from a secret of the deployment for
 * this upstream alone. It is bound to the upstream's URL, too: whoever can write into D1, but has no secret, cannot send it
 * anywhere else.
 */
import { concat, fromBase64Url, fromUtf8, toBase64Url, utf8, type Bytes } from "@sluice/protocol/bytes";
import { upstreamKeyKey, type Secrets } from "./secrets.ts";

const NONCE_BYTES = 12;

export type KeyPlace = { readonly id: string; readonly url: string };

function boundTo({ id, url }: KeyPlace): Bytes {
  return utf8(`sluice-upstream\n${id}\n${url}`);
}

/** Begins with the id of the secret it is sealed under. `nonce` is 12 random bytes. */
export async function sealUpstreamKey(
  secrets: Secrets,
  place: KeyPlace,
  plain: string,
  nonce: Bytes,
): Promise<string> {
  const key = await upstreamKeyKey(secrets, secrets.current, place.id);
  if (key === undefined) throw new Error("the current secret is not there");
  const algorithm = { name: "AES-GCM", iv: nonce, additionalData: boundTo(place) };
  const sealed = await crypto.subtle.encrypt(algorithm, key, utf8(plain));
  return `${secrets.current}:${toBase64Url(concat(nonce, new Uint8Array(sealed)))}`;
}

/** Under which secret of the deployment it was sealed. */
export function sealedUnder(sealed: string): string {
  return sealed.slice(0, Math.max(0, sealed.indexOf(":")));
}

/** Undefined where it does not open: another place's, changed, or of a secret the deployment has no more. */
export async function openUpstreamKey(
  secrets: Secrets,
  place: KeyPlace,
  sealed: string,
): Promise<string | undefined> {
  const key = await upstreamKeyKey(secrets, sealedUnder(sealed), place.id);
  const bytes = fromBase64Url(sealed.slice(sealed.indexOf(":") + 1));
  if (key === undefined || bytes === undefined || bytes.length <= NONCE_BYTES) return undefined;
  try {
    const algorithm = {
      name: "AES-GCM",
      iv: bytes.slice(0, NONCE_BYTES),
      additionalData: boundTo(place),
    };
    return fromUtf8(new Uint8Array(await crypto.subtle.decrypt(algorithm, key, bytes.slice(NONCE_BYTES))));
  } catch {
    return undefined;
  }
}
