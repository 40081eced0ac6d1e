/**
 * The `deepseek-v3` pre-tokenizer: three patterns, each cutting the pieces the one before it left.
 *
 * Every pattern sees one piece at a time, not the text around it (so `\s+(?!\S)` also holds at a piece's end): that
 * is how llama.cpp reads them, and a test compares the result with it.
 */
const PATTERNS: readonly RegExp[] = [
  /\p{N}{1,3}/gu,
  /[一-龥぀-ゟ゠-ヿ]+/gu,
  /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu,
];

export function splitPieces(text: string): string[] {
  let pieces = text === "" ? [] : [text];
  for (const pattern of PATTERNS) pieces = pieces.flatMap((piece) => cut(piece, pattern));
  return pieces;
}

function cut(piece: string, pattern: RegExp): string[] {
  const out: string[] = [];
  let from = 0;
  for (const match of piece.matchAll(pattern)) {
    if (match.index > from) out.push(piece.slice(from, match.index));
    out.push(match[0]);
    from = match.index + match[0].length;
  }
  if (from < piece.length) out.push(piece.slice(from));
  return out;
}
