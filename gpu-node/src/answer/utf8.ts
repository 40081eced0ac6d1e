/**
 * Characters whose bytes come in pieces: a token may end in the middle of one. Pure: what is left over is returned, not
 * kept, so that a state can be rebuilt from tokens alone. Bytes that are no UTF-8 become U+FFFD, as everywhere.
 */

export type Decoded = {
  readonly text: string;
  /** The beginning of a character whose other bytes are still to come; at most three bytes. */
  readonly rest: Uint8Array;
};

export const NO_BYTES: Uint8Array = new Uint8Array();

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** How many bytes a character has that begins with `lead`; 0 where no character does. */
function lengthOf(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return lead < 0x80 ? 1 : 0;
}

/** Where the last, unfinished character begins; the length of `bytes` where all are finished. */
function wholeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    const continues = byte >= 0x80 && byte <= 0xbf;
    if (continues) continue;
    return lengthOf(byte) > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

export function decodeMore(rest: Uint8Array, bytes: Uint8Array): Decoded {
  let all = bytes;
  if (rest.length > 0) {
    all = new Uint8Array(rest.length + bytes.length);
    all.set(rest, 0);
    all.set(bytes, rest.length);
  }
  const whole = wholeLength(all);
  return { text: decoder.decode(all.subarray(0, whole)), rest: all.slice(whole) };
}

/** The text of bytes after which nothing comes: an unfinished character is U+FFFD. */
export function decodeLast(rest: Uint8Array): string {
  return decoder.decode(rest);
}
