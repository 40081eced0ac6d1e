/**
 * What llama.cpp evaluates at once. Each slot has a memory of its own, and then it takes together only sequences whose numbers
 * follow each other in the order they are given, and of each only as many tokens as the shortest of them has. Thirty-two
 * answers in the order of their coming took twice the processor of the same in the order of their slots; a prompt's chunk
 * beside an answer loses one token to the answer's pass, and with it the last whole tile of attention. So answers go by slot,
 * and a chunk of whole tiles goes alone. Pure.
 */

/**
 * Of a prompt's tokens, flash attention on a CPU takes tiles of so many; what is shorter goes a token at a time (32 at once
 * cost 2.7 times as much a token as 64, on the model of the benchmark).
 */
export const TILE_TOKENS = 64;

type Part = { readonly sequence: number; readonly tokens: readonly number[] };

/** Places in `works`, pass by pass: the answers, the short prompts, every long one. */
export function passesOf(works: readonly Part[]): readonly (readonly number[])[] {
  const answers: number[] = [];
  const short: number[] = [];
  const long: number[][] = [];
  const bySequence = [...works.keys()].sort((a, b) => (works[a]?.sequence ?? 0) - (works[b]?.sequence ?? 0));
  for (const at of bySequence) {
    const tokens = works[at]?.tokens.length ?? 0;
    if (tokens === 1) answers.push(at);
    else if (tokens < TILE_TOKENS) short.push(at);
    else long.push([at]);
  }
  return [answers, short, ...long].filter((pass) => pass.length > 0);
}
