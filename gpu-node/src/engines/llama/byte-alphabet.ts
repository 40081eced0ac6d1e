/**
 * The alphabet in which byte-level BPE vocabularies spell bytes (GPT-2's bytes_to_unicode): printable bytes stand for
 * themselves, the other 68 are moved to U+0100 and up. Pure tables.
 */
const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  Array.from({ length: 256 }, (_, byte) => byte).map((byte) => {
    const moved = Array.from({ length: byte }, (_, other) => other).filter(
      (other) => !isPrintable(other),
    ).length;
    return [String.fromCodePoint(isPrintable(byte) ? byte : 256 + moved), byte];
  }),
);

/** The bytes a vocabulary entry stands for. A character outside the alphabet stands for its own UTF-8. */
export function bytesOfSpelling(spelling: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of spelling) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) bytes.push(...Buffer.from(character, "utf8"));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
