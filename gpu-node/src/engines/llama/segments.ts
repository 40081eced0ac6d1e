/**
 * A prompt as segments: what the template wrote, where special tokens are meant, and what people wrote, where none may
 * appear whatever the text says. Pure.
 *
 * llama.cpp finds USER_DEFINED tokens such as `<think>` in plain text too, so content is cut inside every special
 * spelling, behind its first character: no piece then contains one, and the text stays the same to the letter.
 * Pieces are also short. llama.cpp splits text with a recursive regular expression and overflows the stack (a dead
 * process) on a run of some 20,000 equal letters; measured, 16,000 still pass with an 8 MiB stack.
 */
export type Segment = { readonly kind: "template" | "content"; readonly text: string };

const PIECE_CHARS_MAX = 2_048;

export const template = (text: string): Segment => ({ kind: "template", text });
export const content = (text: string): Segment => ({ kind: "content", text });

/** Cuts content so that no piece contains one of the spellings and none is longer than `charsMax`. */
export function cutContent(
  text: string,
  spellings: RegExp | undefined,
  charsMax = PIECE_CHARS_MAX,
): readonly string[] {
  const pieces: string[] = [];
  for (const part of cutSpellings(text, spellings)) pieces.push(...cutLong(part, charsMax));
  return pieces;
}

/** One expression that finds any of the spellings; undefined when there are none. */
export function spellingsPattern(spellings: Iterable<string>): RegExp | undefined {
  const escaped = [...spellings]
    .filter((spelling) => spelling !== "")
    .sort((a, b) => b.length - a.length)
    .map((spelling) => spelling.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return escaped.length === 0 ? undefined : new RegExp(escaped.join("|"), "g");
}

function cutSpellings(text: string, spellings: RegExp | undefined): readonly string[] {
  if (spellings === undefined) return [text];
  const parts: string[] = [];
  let start = 0;
  let searchFrom = 0;
  // Every turn moves searchFrom on by at least a character.
  while (searchFrom < text.length) {
    spellings.lastIndex = searchFrom;
    const found = spellings.exec(text);
    if (found === null) break;
    const cut = found.index + firstCharacterLength(text, found.index);
    parts.push(text.slice(start, cut));
    start = cut;
    searchFrom = cut;
  }
  parts.push(text.slice(start));
  return parts.filter((part) => part !== "");
}

/** Cuts before a blank between letters if there is one: there every pre-tokenizer cuts anyway. */
function cutLong(text: string, charsMax: number): readonly string[] {
  const parts: string[] = [];
  let start = 0;
  while (text.length - start > charsMax) {
    const blank = lastBlankBetweenLetters(text, start + (charsMax >> 1), start + charsMax);
    const cut = blank ?? wholeCharacter(text, start + charsMax);
    parts.push(text.slice(start, cut));
    start = cut;
  }
  parts.push(text.slice(start));
  return parts;
}

function lastBlankBetweenLetters(text: string, from: number, to: number): number | undefined {
  for (let i = to; i > from; i--) {
    if (text[i] === " " && isLetter(text[i - 1]) && isLetter(text[i + 1])) return i;
  }
  return undefined;
}

function isLetter(character: string | undefined): boolean {
  return character !== undefined && /^\p{L}$/u.test(character);
}

/** Not between the two halves of a surrogate pair. */
function wholeCharacter(text: string, index: number): number {
  const code = text.charCodeAt(index);
  return code >= 0xdc00 && code <= 0xdfff ? index - 1 : index;
}

function firstCharacterLength(text: string, index: number): number {
  return (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
}
