/** Seeded dice and the distributions the traces' statistics are given in. The same seed rolls the same numbers. Pure. */

export type Dice = () => number;

/** A number in [0, 1) at each call. */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normal(dice: Dice): number {
  return Math.sqrt(-2 * Math.log(1 - dice())) * Math.cos(2 * Math.PI * dice());
}

/** e^mu is the median. */
export function logNormal(dice: Dice, mu: number, sigma: number): number {
  return Math.exp(mu + sigma * normal(dice));
}

export function exponential(dice: Dice, mean: number): number {
  return -mean * Math.log(1 - dice());
}

/** Marsaglia and Tsang's; a shape below 1 by the usual power of a uniform number. */
export function gamma(dice: Dice, shape: number, scale: number): number {
  if (shape < 1) return gamma(dice, shape + 1, scale) * Math.pow(1 - dice(), 1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(dice);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - dice()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v * scale;
  }
}

/** An index in [0, count), the first ones more often: weight 1/(i+1). */
export function zipf(dice: Dice, count: number): number {
  let total = 0;
  for (let i = 1; i <= count; i++) total += 1 / i;
  let left = dice() * total;
  for (let i = 0; i < count; i++) {
    left -= 1 / (i + 1);
    if (left < 0) return i;
  }
  return count - 1;
}
