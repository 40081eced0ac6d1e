/**
 * Chooses a token from the model's probabilities. Pure, and a function of (seed, position, probabilities) alone, so a
 * request that another node continues gets the tokens the first would have given. llama.cpp's own sampler keeps state
 * between tokens and cannot promise that.
 * The order is vLLM's and the OpenAI API's: temperature, top_k, top_p, min_p (llama.cpp takes temperature last).
 */
/** Candidates asked of the engine. Behind the 256th there is no weight worth its time at temperatures up to 2. */
export const CANDIDATES_MAX = 256;

export type ChoiceRule = {
  readonly temperature: number;
  readonly topP: number;
  /** 0: all. */
  readonly topK?: number;
  /** Of the likeliest one's probability. */
  readonly minP?: number;
};

/**
 * `flat`: id and probability by turns at temperature 1, in any order; it is quickest where the likeliest come first.
 * `dice` in [0, 1). Thirty-two answers choose in every turn, so this makes two arrays and no object per candidate.
 */
export function chooseToken(flat: readonly number[], rule: ChoiceRule, dice: number): number | undefined {
  const { ids, weights, count } = likeliestFirst(flat);
  if (count === 0 || rule.temperature <= 0) return ids[0];
  const kept = rule.topK === undefined || rule.topK === 0 ? count : Math.min(count, rule.topK);
  const top = weights[0] ?? 1;
  let total = 0;
  for (let i = 0; i < kept; i++) {
    const share = (weights[i] ?? 0) / top;
    const weight = rule.temperature === 1 ? share : Math.exp(Math.log(share) / rule.temperature);
    weights[i] = weight;
    total += weight;
  }
  return ids[at(weights, nucleus(weights, kept, total * rule.topP, rule.minP ?? 0), dice)];
}

/** Those with a probability; of equal ones the lower id first, so that every node has them in one order. */
function likeliestFirst(flat: readonly number[]): { ids: number[]; weights: number[]; count: number } {
  const ids: number[] = [];
  const weights: number[] = [];
  let count = 0;
  for (let from = 0; from + 1 < flat.length; from += 2) {
    const id = flat[from] ?? 0;
    const weight = flat[from + 1] ?? 0;
    if (!(weight > 0)) continue;
    let to = count;
    for (; to > 0; to--) {
      const before = weights[to - 1] ?? 0;
      if (before > weight || (before === weight && (ids[to - 1] ?? 0) <= id)) break;
      ids[to] = ids[to - 1] ?? 0;
      weights[to] = before;
    }
    ids[to] = id;
    weights[to] = weight;
    count += 1;
  }
  return { ids, weights, count };
}

/**
 * How many of the heaviest `count` reach `weight` together, none of them below `atLeast`; at least one. The heaviest weighs
 * 1, so min_p is compared as it is.
 */
function nucleus(weights: readonly number[], count: number, weight: number, atLeast: number): number {
  let reached = 0;
  for (let i = 0; i < count; i++) {
    if (i > 0 && (weights[i] ?? 0) < atLeast) return i;
    reached += weights[i] ?? 0;
    if (reached >= weight) return i + 1;
  }
  return count;
}

/** Where the dice fall among the first `count`. */
function at(weights: readonly number[], count: number, dice: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += weights[i] ?? 0;
  let left = dice * sum;
  for (let i = 0; i < count; i++) {
    left -= weights[i] ?? 0;
    if (left < 0) return i;
  }
  return count - 1;
}

/** A number in [0, 1) for a position of a seeded answer. Any finite seed will do; equal seeds give equal numbers. */
export function diceAt(seed: number, position: number): number {
  const [low, high] = halves(seed);
  let h = mix(low ^ 0x9e3779b9);
  h = mix(h ^ high);
  h = mix(h ^ position);
  const second = mix(h ^ 0x85ebca6b);
  return ((h >>> 5) * 67_108_864 + (second >>> 6)) / 9_007_199_254_740_992;
}

function halves(seed: number): [low: number, high: number] {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, seed);
  return [view.getInt32(4), view.getInt32(0)];
}

/** murmur3's finalizer. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
