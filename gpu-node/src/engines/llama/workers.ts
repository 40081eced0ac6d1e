/**
 * How many of libuv's threads the engine's process has: the binding does everything there, a turn and then the choice of each
 * token. With one of them what is asked runs in the order of asking, so the choices can be asked for together with the turn, and
 * no thread has to be woken between the two: a tenth of a millisecond a turn, which is much of a small model's. With several
 * the choices of a turn run side by side, which counts for more where there is much to choose from: each choice looks at the
 * whole vocabulary. Embeddings are computed beside answers and want a thread, too.
 *
 * The number is told to the process when it is forked: libuv reads it once, and to choose before the turn is over would be
 * to choose from the turn before.
 */

/** Tokens that all choices of a turn look at, up to which one thread is better: about half a millisecond's. */
const IN_ORDER_CANDIDATES_MAX = 65_536;
const SIDE_BY_SIDE_MIN = 4;
const SIDE_BY_SIDE_MAX = 16;

export const WORKERS_VARIABLE = "UV_THREADPOOL_SIZE";

/** Pure. */
export function workersFor(of: {
  readonly slots: number;
  readonly vocabularyTokens: number;
  readonly embeddings: boolean;
  readonly cores: number;
}): number {
  const candidates = of.slots * of.vocabularyTokens;
  if (!of.embeddings && candidates <= IN_ORDER_CANDIDATES_MAX) return 1;
  return Math.min(SIDE_BY_SIDE_MAX, Math.max(SIDE_BY_SIDE_MIN, of.cores));
}

/** Whether this process was forked with one. */
export function worksInOrder(env: Readonly<Record<string, string | undefined>>): boolean {
  return env[WORKERS_VARIABLE] === "1";
}
