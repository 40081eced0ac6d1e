/**
 * Seeded dice: the only source of chance in the corpus, so that one seed always makes one corpus.
 *
 * The generator is a 32-bit mix of a counter (a few lines, no state beyond one number). It is not for secrets.
 */
import { at } from "../at.ts";

export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    return mix(this.#state) / 4294967296;
  }

  /** Uniform integer, both ends included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return at(list, this.int(0, list.length - 1));
  }

  /** An item of `[weight, item]` pairs, in proportion to its weight. */
  weighted<T>(pairs: readonly (readonly [number, T])[]): T {
    let left = this.next() * pairs.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of pairs) {
      left -= weight;
      if (left < 0) return item;
    }
    return at(pairs, pairs.length - 1)[1];
  }

  /** A number with exactly `digits` digits (one digit may be 0). */
  digits(digits: number): number {
    return digits === 1 ? this.int(0, 9) : this.int(10 ** (digits - 1), 10 ** digits - 1);
  }
}

function mix(x: number): number {
  let h = x;
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

/** A stable 32-bit hash of a text: what decides which questions are held out, on every machine alike. */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h);
}
