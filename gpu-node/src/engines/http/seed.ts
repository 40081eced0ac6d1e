/** Seeds as these servers take them. Pure. */
const SEEDS = 2 ** 32;

/**
 * From 0 to 2^32 - 2: llama-server takes the last one for "any". Behind tokens that are there already it is another one, or
 * a continued answer would throw the dice of its beginning again.
 */
export function seedFor(seed: number, behind: number): number {
  return (((seed + behind) % (SEEDS - 1)) + (SEEDS - 1)) % (SEEDS - 1);
}
