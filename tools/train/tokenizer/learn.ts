/**
 * Learning the merges: count pairs inside pieces, join the commonest, again until the vocabulary is full.
 *
 * Pieces are counted once with their frequency, so a pass over a million texts is cheap. A pair with a digit in it
 * is never joined, and no pair rarer than `MINIMUM`: a token seen a handful of times would stay untrained.
 */
import { at } from "../at.ts";
import { toAlphabet } from "./bytes.ts";
import { splitPieces } from "./split.ts";
import type { Merge } from "./tokenizer.ts";

const MINIMUM = 60;
const HAS_DIGIT = /[0-9]/u;

export function learnMerges(texts: Iterable<string>, mergeCount: number): Merge[] {
  const words = countPieces(texts);
  const merges: Merge[] = [];
  while (merges.length < mergeCount) {
    const pair = commonest(words);
    if (!pair) break;
    merges.push(pair);
    for (const word of words) join(word.symbols, pair);
  }
  return merges;
}

interface Word {
  readonly symbols: string[];
  readonly count: number;
}

function countPieces(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const piece of splitPieces(text)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  return Array.from(counts, ([piece, count]) => ({ symbols: Array.from(toAlphabet(piece)), count }));
}

function commonest(words: readonly Word[]): Merge | undefined {
  const pairs = new Map<string, number>();
  for (const { symbols, count } of words) {
    for (let i = 0; i + 1 < symbols.length; i++) {
      const key = `${at(symbols, i)} ${at(symbols, i + 1)}`;
      pairs.set(key, (pairs.get(key) ?? 0) + count);
    }
  }
  let best: string | undefined;
  let bestCount = MINIMUM - 1;
  for (const [key, count] of pairs) {
    if (
      (count > bestCount || (count === bestCount && best !== undefined && key < best)) &&
      !HAS_DIGIT.test(key)
    ) {
      [best, bestCount] = [key, count];
    }
  }
  if (best === undefined) return undefined;
  const space = best.indexOf(" ");
  return [best.slice(0, space), best.slice(space + 1)];
}

function join(symbols: string[], [left, right]: Merge): void {
  for (let i = 0; i + 1 < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) symbols.splice(i, 2, left + right);
  }
}
