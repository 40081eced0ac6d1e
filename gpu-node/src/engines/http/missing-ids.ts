/**
 * The ids of tokens that a server did not show: the first tokens of a character that it held back until the last of
 * them was there. Their bytes are known (the text, less the last token's), and how many they are; so are the tokens a
 * vocabulary has for every stretch of bytes. Usually there is one answer, a token for each byte; where there are more,
 * any of them is the same text in as many positions, which is what is billed and shown. Pure.
 */

/** `count` ids whose bytes make `bytes`; undefined where there are none. `idOf` knows the id of some bytes. */
export function idsOfBytes(
  bytes: Uint8Array,
  count: number,
  idOf: (bytes: Uint8Array) => number | undefined,
): readonly number[] | undefined {
  if (count === 0) return bytes.length === 0 ? [] : undefined;
  // The shortest first token leaves most room for the others.
  for (let length = 1; length <= bytes.length - (count - 1); length++) {
    const id = idOf(bytes.subarray(0, length));
    if (id === undefined) continue;
    const rest = idsOfBytes(bytes.subarray(length), count - 1, idOf);
    if (rest !== undefined) return [id, ...rest];
  }
  return undefined;
}
