/**
 * How many threads compute at first, and how long a prompt's chunk is: measured when the weights are loaded, because
 * neither can be known beforehand. Two threads on two cores were 1.6 times as fast as one for a prompt and 30 times slower for a
 * token; and a chunk is what every running answer waits for.
 *
 * Deciding is pure; `measure` evaluates a few tokens on an empty context and leaves it empty. It measures no more threads than
 * the machine has idle cores: a node that comes back beside others that work would measure the scheduler, and stop them.
 */
import type { Batch } from "./batch.ts";
import { TILE_TOKENS } from "./passes.ts";
import { WORTH_IT } from "./thread-trial.ts";

/** What running answers may wait for a prompt's chunk. */
const TURN_MS_MAX = 120;
/**
 * What a short question may wait for the chunk of a prompt that was alone when it came. A longer chunk costs less a token where
 * experts share it: 128 tokens at once took 15% less of the processor than 64, on the model of the benchmark.
 */
const TURN_ALONE_MS_MAX = 350;
const PROMPTS = 2;
const DECODES = 5;
/** Tokens evaluated behind the sample. */
export const MEASURED_BEHIND = DECODES;
/** What is so much slower than with fewer threads is not measured again and again. */
const HOPELESS = 2;
/** A large model on a slow machine is not measured to the end. */
const BUDGET_MS = 2_500;

export type Measured = {
  readonly threads: number;
  readonly promptMsPerToken: number;
  readonly decodeMs: number;
};
export type Settings = {
  readonly threads: { readonly prompt: number; readonly decode: number };
  readonly chunkTokens: number;
};

/** Numbers of threads worth trying, fewest first. Pure. */
export function threadsToTry(cores: number, usual: number): readonly number[] {
  const counts = new Set([usual, cores]);
  for (let count = 1; count < cores; count *= 2) counts.add(count);
  return [...counts].filter((count) => count <= cores).sort((a, b) => a - b);
}

/** Pure. `measured` is not empty, fewest threads first; `chunkTokensMax` is what a batch holds. */
export function settle(measured: readonly Measured[], chunkTokensMax: number): Settings {
  const prompt = fastest(measured, ({ promptMsPerToken }) => promptMsPerToken);
  const decode = fastest(measured, ({ decodeMs }) => decodeMs);
  const fits = prompt === undefined ? chunkTokensMax : TURN_MS_MAX / prompt.promptMsPerToken;
  const chunkTokens = Math.floor(fits / TILE_TOKENS) * TILE_TOKENS;
  return {
    threads: { prompt: prompt?.threads ?? 1, decode: decode?.threads ?? 1 },
    chunkTokens: Math.max(TILE_TOKENS, Math.min(chunkTokensMax, chunkTokens)),
  };
}

/**
 * How many prompt tokens a turn evaluates, kept up with what turns really take: the measurement at the start may have
 * been taken beside something else. It grows or shrinks by half at most with each turn, so one late turn changes little.
 */
export class ChunkSize {
  readonly #max: number;
  #fits: number;

  constructor(tokens: number, max: number) {
    this.#fits = tokens;
    this.#max = max;
  }

  /** In steps: turns of equal size can be compared. */
  get tokens(): number {
    return Math.max(TILE_TOKENS, Math.floor(this.#fits / TILE_TOKENS) * TILE_TOKENS);
  }

  /** For a prompt beside which nobody waits. */
  get tokensAlone(): number {
    const fits = (this.#fits * TURN_ALONE_MS_MAX) / TURN_MS_MAX;
    return Math.min(this.#max, Math.max(this.tokens, Math.floor(fits / TILE_TOKENS) * TILE_TOKENS));
  }

  /** A turn that evaluated `tokens`, prompts and answers together, took `ms`. Small turns say nothing of large ones. */
  note(tokens: number, ms: number): void {
    if (tokens < this.tokens / 2 || ms <= 0) return;
    const fits = (TURN_MS_MAX / ms) * tokens;
    const near = Math.min(this.#fits * 1.5, Math.max(this.#fits / 1.5, fits));
    this.#fits = Math.max(1, Math.min(this.#max, near));
  }
}

function fastest(measured: readonly Measured[], ms: (of: Measured) => number): Measured | undefined {
  let best: Measured | undefined;
  for (const of of measured) if (best === undefined || ms(of) * WORTH_IT < ms(best)) best = of;
  return best;
}

/**
 * `counts`: fewest first; those that have no cores of their own are left out. `sample`: ordinary tokens, as many as the chunk to
 * measure; of different kinds, because tokens of one kind share their experts and cost less.
 */
export async function measure(
  batch: Batch,
  sample: readonly number[],
  counts: readonly number[],
  hasCores: (more: number) => boolean,
): Promise<readonly Measured[]> {
  const measured: Measured[] = [];
  const timed = async (at: number, tokens: readonly number[]): Promise<number> => {
    const fromMs = performance.now();
    await batch.evaluate([{ sequence: 0, at, tokens, choose: async () => undefined }]);
    return performance.now() - fromMs;
  };
  // The first evaluation pays for what is allocated, read and (on a GPU) compiled then. Where there is nothing to compare it
  // may be a whole one; a large model on one core of many is not kept at it for longer than needed.
  batch.useThreads({ threads: () => counts[0] ?? 1 });
  await timed(0, counts.length > 1 ? sample.slice(0, 2) : sample);
  batch.cut(0, 0);
  const startedAtMs = performance.now();
  const spent = (): boolean => performance.now() - startedAtMs > BUDGET_MS;
  const best = async (times: number, least: number | undefined, once: (i: number) => Promise<number>) => {
    let bestMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < times && (i === 0 || !spent()); i++) {
      bestMs = Math.min(bestMs, await once(i));
      if (least !== undefined && bestMs > HOPELESS * least) break;
    }
    return bestMs;
  };
  for (const threads of counts) {
    const [fewest] = measured;
    if (fewest !== undefined && (spent() || !hasCores(threads - fewest.threads))) break;
    batch.useThreads({ threads: () => threads });
    const promptMs = await best(PROMPTS, fewest && fewest.promptMsPerToken * sample.length, async () => {
      batch.cut(0, 0);
      return timed(0, sample);
    });
    const decodeMs = await best(DECODES, fewest?.decodeMs, (i) =>
      timed(sample.length + i, sample.slice(i, i + 1)),
    );
    measured.push({ threads, promptMsPerToken: promptMs / sample.length, decodeMs });
  }
  batch.cut(0, 0);
  return measured;
}
