/**
 * How many threads compute at first, and how long a prompt's chunk is: measured when the weights are loaded, because
 * neither can be known beforehand. Two threads on two cores were 1.6 times as fast as one for a prompt and 30 times slower for a
 * token; and a chunk is what every running answer waits for.
 *
 * Deciding is pure; `measure` evaluates a few tokens on an empty context and leaves it empty. It measures no more threads than
 * the machine has idle cores: a node that comes back beside others that work would measure the scheduler, and stop them.
 */
import type { Batch } from "./batch.ts";

/** What running answers may wait for a prompt's chunk. */
const TURN_MS_MAX = 120;
/**
 * What a short question may wait for the chunk of a prompt that was alone when it came. A longer chunk costs less a token where
 * experts share it: 128 tokens at once took 15% less of the processor than 64, on the model of the benchmark.
 */
const TURN_ALONE_MS_MAX = 350;
/**
 * Fewer of one prompt are no chunk: llama.cpp's flash attention on a CPU takes tiles of 64, and what is shorter goes a token at a
 * time (32 at once cost 2.7 times as much a token as 64, on the model of the benchmark).
 */
const CHUNK_TOKENS_MIN = 64;
const CHUNK_TOKENS_STEP = 64;
/** More threads have to be this much faster: what was measured in a quiet moment turns round on a busy machine. */
const WORTH_IT = 1.5;
const SAMPLE_TOKENS = 64;
const DECODES = 5;
/** Tokens so much slower than with fewer threads are not measured again and again. */
const HOPELESS = 4;
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
  const chunkTokens = Math.floor(fits / CHUNK_TOKENS_STEP) * CHUNK_TOKENS_STEP;
  return {
    threads: { prompt: prompt?.threads ?? 1, decode: decode?.threads ?? 1 },
    chunkTokens: Math.max(CHUNK_TOKENS_MIN, Math.min(chunkTokensMax, chunkTokens)),
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
    return Math.max(CHUNK_TOKENS_MIN, Math.floor(this.#fits / CHUNK_TOKENS_STEP) * CHUNK_TOKENS_STEP);
  }

  /** For a prompt beside which nobody waits. */
  get tokensAlone(): number {
    const fits = (this.#fits * TURN_ALONE_MS_MAX) / TURN_MS_MAX;
    return Math.min(
      this.#max,
      Math.max(this.tokens, Math.floor(fits / CHUNK_TOKENS_STEP) * CHUNK_TOKENS_STEP),
    );
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

/** `counts`: fewest first; those that have no cores of their own are left out. `token` is any ordinary one. */
export async function measure(
  batch: Batch,
  token: number,
  counts: readonly number[],
  hasCores: (more: number) => boolean,
): Promise<readonly Measured[]> {
  const measured: Measured[] = [];
  const startedAtMs = performance.now();
  const tokens = Array.from({ length: SAMPLE_TOKENS }, () => token);
  const timed = async (at: number, what: readonly number[]): Promise<number> => {
    const fromMs = performance.now();
    await batch.evaluate([{ sequence: 0, at, tokens: what, choose: async () => undefined }]);
    return performance.now() - fromMs;
  };
  // The first evaluation pays for what is allocated and read then.
  await timed(0, tokens.slice(0, 2));
  batch.cut(0, 0);
  for (const count of counts) {
    const [fewest] = measured;
    if (fewest !== undefined && performance.now() - startedAtMs > BUDGET_MS) break;
    if (fewest !== undefined && !hasCores(count - fewest.threads)) break;
    batch.useThreads({ prompt: { threads: count }, decode: { threads: count } });
    const promptMs = await timed(0, tokens);
    const decodes: number[] = [];
    for (let i = 0; i < DECODES && performance.now() - startedAtMs < BUDGET_MS; i++) {
      const decodeMs = await timed(SAMPLE_TOKENS + i, [token]);
      decodes.push(decodeMs);
      if (fewest !== undefined && decodeMs > HOPELESS * fewest.decodeMs) break;
    }
    batch.cut(0, 0);
    measured.push({
      threads: count,
      promptMsPerToken: promptMs / SAMPLE_TOKENS,
      decodeMs: decodes.length === 0 ? promptMs : Math.min(...decodes),
    });
  }
  return measured;
}
