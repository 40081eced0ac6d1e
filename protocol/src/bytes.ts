/**
 * Bytes to text and back, and comparison without a timing oracle: what every signed or sealed message needs.
 * Base64 here is always the URL alphabet without padding (RFC 4648 §5), safe in headers, URLs and logs. Where the runtime
 * has base64 of its own (workerd has, Node 24 has not) it is used: a ticket costs twenty times as much by hand.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** As many arguments as a call surely takes. */
const PIECE_BYTES = 4_096;

export type Bytes = Uint8Array<ArrayBuffer>;

type Base64Options = { readonly alphabet: "base64url"; readonly omitPadding: true };
type Native = { toBase64?: (this: Uint8Array, options: Base64Options) => string };
const { toBase64: nativeToBase64 } = Uint8Array.prototype as Native;
const BASE64_URL: Base64Options = { alphabet: "base64url", omitPadding: true };

type NativeFrom = { fromBase64?: (text: string, options: { readonly alphabet: "base64url" }) => Bytes };
const { fromBase64: nativeFromBase64 } = Uint8Array as NativeFrom;

export function utf8(text: string): Bytes {
  // The encoder always makes a fresh, unshared buffer; only the type of one runtime does not say so.
  return encoder.encode(text) as Bytes;
}

/** Throws a TypeError where the bytes are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

export function toBase64Url(bytes: Uint8Array): string {
  if (nativeToBase64 !== undefined) return nativeToBase64.call(bytes, BASE64_URL);
  let binary = "";
  // By the piece: once for every byte is what sealing and signing would mostly cost.
  for (let at = 0; at < bytes.length; at += PIECE_BYTES)
    binary += String.fromCharCode(...bytes.subarray(at, at + PIECE_BYTES));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Undefined where the text is not base64url. */
export function fromBase64Url(text: string): Bytes | undefined {
  if (!/^[\w-]*$/.test(text) || text.length % 4 === 1) return undefined;
  if (nativeFromBase64 !== undefined) return nativeFromBase64.call(Uint8Array, text, BASE64_URL);
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Compares in time that depends on the lengths alone. */
export function equalInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}
