/**
 * Chooses a token from the model's probabilities. Pure, and a function of (seed, position, probabilities) alone, so a
 * request that another node continues gets the tokens the first would have given. llama.cpp's own sampler keeps state
 * between tokens and cannot promise that.
 * The order is vLLM's and the OpenAI API's: temperature, top_k, top_p, min_p (llama.cpp takes temperature last).
 */
export type Candidate = readonly [id: number, probability: number];

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

/** `candidates` at temperature 1, in any order; `dice` in [0, 1). */
export function chooseToken(
  candidates: Iterable<Candidate>,
  rule: ChoiceRule,
  dice: number,
): number | undefined {
  const sorted = [...candidates].filter(([, p]) => p > 0).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const top = sorted[0];
  if (top === undefined || rule.temperature <= 0) return top?.[0];
  const count = rule.topK === undefined || rule.topK === 0 ? sorted.length : rule.topK;
  const weights = sorted.slice(0, count).map(([, p]) => Math.exp(Math.log(p / top[1]) / rule.temperature));
  const total = sum(weights, weights.length);
  // The likeliest weighs 1, so min_p is compared as it is.
  const kept = Math.min(nucleus(weights, total * rule.topP), atLeast(weights, rule.minP ?? 0));
  let left = dice * sum(weights, kept);
  for (let i = 0; i < kept; i++) {
    left -= weights[i] ?? 0;
    if (left < 0) return sorted[i]?.[0];
  }
  return sorted[kept - 1]?.[0];
}

/** How many of the heaviest weigh so much; at least one. */
function atLeast(weights: readonly number[], weight: number): number {
  const first = weights.findIndex((w) => w < weight);
  return first < 0 ? weights.length : Math.max(1, first);
}

/** How many of the heaviest reach `weight` together; at least one. */
function nucleus(weights: readonly number[], weight: number): number {
  let reached = 0;
  for (const [i, w] of weights.entries()) {
    reached += w;
    if (reached >= weight) return i + 1;
  }
  return weights.length;
}

function sum(values: readonly number[], count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += values[i] ?? 0;
  return total;
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
