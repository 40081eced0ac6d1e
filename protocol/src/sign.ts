/**
 * Signed messages: a text and an Ed25519 signature over it, under a domain that says what kind of text it is.
 * The signed text is kept and sent verbatim; nobody has to agree on how to print JSON twice.
 */
import { z } from "zod";
import { fromBase64Url, toBase64Url, utf8, type Bytes } from "./bytes.ts";

export const Signed = z.object({ body: z.string().max(16_384), sig: z.string().max(128) });
export type Signed = z.infer<typeof Signed>;

/** What a signature is for: the same key never signs two kinds of text that could be taken for one another. */
export type Domain = "sluice-receipt" | "sluice-beat" | "sluice-enrol" | "sluice-journal";

function domained(domain: Domain, text: string): Bytes {
  return utf8(`${domain}\n${text}`);
}

export async function signText(privateKey: CryptoKey, domain: Domain, text: string): Promise<string> {
  return toBase64Url(new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, domained(domain, text))));
}

export async function verifyText(
  publicKey: CryptoKey,
  domain: Domain,
  text: string,
  sig: string,
): Promise<boolean> {
  const bytes = fromBase64Url(sig);
  if (bytes === undefined) return false;
  return crypto.subtle.verify("Ed25519", publicKey, bytes, domained(domain, text));
}

/** A node's public key as it is stored and published: 32 bytes, base64url. Throws where it is not one. */
export async function importPublicKey(text: string): Promise<CryptoKey> {
  const bytes = fromBase64Url(text);
  if (bytes?.length !== 32) throw new TypeError("an Ed25519 public key is 32 bytes of base64url");
  return crypto.subtle.importKey("raw", bytes, "Ed25519", true, ["verify"]);
}
