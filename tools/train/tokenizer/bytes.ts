/**
 * The byte alphabet of byte-level BPE: every byte has one printable character, so that a token is always a text.
 *
 * Printable Latin-1 bytes stand for themselves, the other 68 for the characters from U+0100 on, in byte order.
 */
import { at } from "../at.ts";

const isPrintable = (b: number): boolean =>
  (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);

export const BYTE_TO_CHAR: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(isPrintable(b) ? b : next++));
})();

const CHAR_TO_BYTE = new Map(BYTE_TO_CHAR.map((c, b) => [c, b]));

export const toAlphabet = (text: string): string =>
  Array.from(Buffer.from(text, "utf8"), (b) => at(BYTE_TO_CHAR, b)).join("");

export function fromAlphabet(token: string): Uint8Array {
  return Uint8Array.from(token, (c) => {
    const byte = CHAR_TO_BYTE.get(c);
    if (byte === undefined) throw new Error(`not in the byte alphabet: ${c}`);
    return byte;
  });
}
