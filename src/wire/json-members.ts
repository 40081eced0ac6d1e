/**
 * The members of a JSON object and the elements of an array as they are written: slices of the text, found without
 * building any value. Pure. For texts that a JSON parser has accepted already; on others the result means nothing.
 *
 * Why not parse: a parsed value has lost what engines may still see, the order of keys like "2" and "1", the
 * spelling of 1.0, a key that is there twice. What may change a prompt is compared by its bytes.
 */

export type Member = { readonly key: string; readonly raw: string };

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const COLON = 58;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const SPACE = 32;

/** Undefined where the text is not an object, or names a key twice: readers disagree which of the two counts. */
export function membersOf(text: string): readonly Member[] | undefined {
  let at = afterSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_BRACE) return undefined;
  const members: Member[] = [];
  const keys = new Set<string>();
  at = afterSpace(text, at + 1);
  while (text.charCodeAt(at) === QUOTE) {
    const keyEnd = afterString(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    if (keys.has(key)) return undefined;
    keys.add(key);
    at = afterSpace(text, keyEnd);
    if (text.charCodeAt(at) !== COLON) return undefined;
    const start = afterSpace(text, at + 1);
    const end = afterValue(text, start);
    members.push({ key, raw: text.slice(start, end) });
    at = afterSpace(text, end);
    if (text.charCodeAt(at) !== COMMA) break;
    at = afterSpace(text, at + 1);
  }
  return text.charCodeAt(at) === CLOSE_BRACE ? members : undefined;
}

/** Undefined where the text is not an array. */
export function elementsOf(text: string): readonly string[] | undefined {
  let at = afterSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_BRACKET) return undefined;
  const elements: string[] = [];
  at = afterSpace(text, at + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_BRACKET) {
    const end = afterValue(text, at);
    elements.push(text.slice(at, end));
    at = afterSpace(text, end);
    if (text.charCodeAt(at) !== COMMA) break;
    at = afterSpace(text, at + 1);
  }
  return text.charCodeAt(at) === CLOSE_BRACKET ? elements : undefined;
}

function afterSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && text.charCodeAt(at) <= SPACE) at++;
  return at;
}

/**
 * `at` is the opening quote. A quote ends the string unless an odd number of backslashes stands before it. Found by the
 * platform's own search, which passes prose at the speed of memory; a regular expression would run out of stack on megabytes of
 * escapes.
 */
function afterString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text.charCodeAt(first - 1) === BACKSLASH) first--;
    if ((end - first) % 2 === 0) return end + 1;
  }
  return text.length;
}

function afterValue(text: string, start: number): number {
  const opening = text.charCodeAt(start);
  if (opening === QUOTE) return afterString(text, start);
  if (opening !== OPEN_BRACE && opening !== OPEN_BRACKET) return afterScalar(text, start);
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = afterString(text, at);
      continue;
    }
    at++;
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return at;
    }
  }
  return at;
}

function afterScalar(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code <= SPACE || code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET) break;
    at++;
  }
  return at;
}
