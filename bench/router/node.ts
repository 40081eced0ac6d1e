/**
 * A simulated node: continuous batching with chunked prefill over an LRU block cache. One step evaluates up to a chunk of
 * prompt tokens, first come first served, and makes one token for every request that is past its prompt; a step takes
 * what both take together. Time is the caller's: `advance` runs the steps that begin before a moment.
 */
import { BlockCache, marksOfBlocks, type BlockMarks } from "./blocks.ts";
import { BLOCK_TOKENS, type SimRequest } from "./request.ts";

export type NodeKind = {
  readonly name: string;
  readonly prefillTokensPerS: number;
  /** A step's own time, and each running answer's part of it. */
  readonly stepMs: number;
  readonly stepMsPerAnswer: number;
  readonly slots: number;
  /** What the cache holds, in tokens: GPU memory and what the engine keeps behind it. */
  readonly cacheTokens: number;
};

/** Prompt tokens of one step: as many as a step may take to keep answers flowing. */
export const CHUNK_MS = 50;

/** A request at a node; on a failover one that has made some of its answer already. */
export type Job = {
  readonly request: SimRequest;
  readonly marks: BlockMarks;
  readonly prompt: number;
  readonly answer: number;
  readonly firstToken: (atMs: number, cachedTokens: number) => void;
  readonly ended: (atMs: number) => void;
};

type Running = { readonly job: Job; readonly hit: number; left: number; made: number; computed: number };

export type LoadSample = {
  readonly atMs: number;
  readonly running: number;
  readonly waiting: number;
  readonly prefillPending: number;
  readonly usage: number;
  readonly prefillTokensPerS: number;
  /** Of one answer. */
  readonly decodeTokensPerS: number;
};

const SMOOTH = 0.05;

export class SimNode {
  readonly id: string;
  readonly region: string;
  readonly kind: NodeKind;
  cache: BlockCache;
  busyMs = 0;
  alive = true;
  #clockMs = 0;
  #queue: Job[] = [];
  #running: Running[] = [];
  #prefillPerMs = 0;
  #decodePerMs = 0;

  constructor(id: string, region: string, kind: NodeKind) {
    this.id = id;
    this.region = region;
    this.kind = kind;
    this.cache = this.#emptyCache();
  }

  enqueue(job: Job, nowMs: number): void {
    this.#clockMs = Math.max(this.#clockMs, nowMs);
    this.#queue.push(job);
  }

  /** Runs all steps that begin before this moment. */
  advance(toMs: number): void {
    while (this.#clockMs < toMs) {
      this.#admit();
      if (this.#running.length === 0) {
        this.#clockMs = toMs;
        return;
      }
      this.#step(toMs);
    }
  }

  /** Everything it had is lost. What it ran is given back, with how many tokens of each answer were made. */
  die(): readonly { readonly job: Job; readonly made: number }[] {
    this.alive = false;
    const lost = [
      ...this.#running.map(({ job, made }) => ({ job, made })),
      ...this.#queue.map((job) => ({ job, made: 0 })),
    ];
    this.#running = [];
    this.#queue = [];
    this.cache = this.#emptyCache();
    return lost;
  }

  revive(nowMs: number): void {
    this.alive = true;
    this.#clockMs = nowMs;
  }

  sample(atMs: number): LoadSample {
    let prefillPending = 0;
    for (const { left } of this.#running) prefillPending += left;
    for (const { prompt } of this.#queue) prefillPending += prompt;
    return {
      atMs,
      running: this.#running.length,
      waiting: this.#queue.length,
      prefillPending,
      usage: this.cache.usage,
      prefillTokensPerS: this.#prefillPerMs * 1_000 || this.kind.prefillTokensPerS,
      decodeTokensPerS: this.#decodePerMs * 1_000,
    };
  }

  #emptyCache(): BlockCache {
    return new BlockCache(Math.floor(this.kind.cacheTokens / BLOCK_TOKENS));
  }

  #admit(): void {
    while (this.#running.length < this.kind.slots) {
      const job = this.#queue[0];
      if (job === undefined) return;
      const hit = this.cache.acquire(job.request.blocks, answerBlocks(job), this.#clockMs);
      if (hit === undefined) return;
      this.#queue.shift();
      const left = Math.max(1, job.prompt - hit * BLOCK_TOKENS);
      this.#running.push({ job, hit, left, made: 0, computed: hit });
    }
  }

  #step(toMs: number): void {
    const { kind } = this;
    const chunk = Math.max(1, Math.floor((kind.prefillTokensPerS * CHUNK_MS) / 1_000));
    let budget = chunk;
    let answering = 0;
    let leastLeft = Infinity;
    const prefilled: Running[] = [];
    for (const running of this.#running) {
      if (running.left === 0) {
        answering++;
        leastLeft = Math.min(leastLeft, running.job.answer - running.made);
      } else if (budget > 0) {
        const part = Math.min(budget, running.left);
        budget -= part;
        running.left -= part;
        if (running.left === 0) prefilled.push(running);
      }
    }
    const evaluated = chunk - budget;
    const stepMs =
      kind.stepMs + kind.stepMsPerAnswer * answering + (evaluated * 1_000) / kind.prefillTokensPerS;
    // While nothing is evaluated all steps are alike: as many as fit, up to the first answer's end.
    const steps =
      evaluated > 0 ? 1 : Math.max(1, Math.min(leastLeft, Math.ceil((toMs - this.#clockMs) / stepMs)));
    this.#clockMs += steps * stepMs;
    this.busyMs += steps * stepMs;
    if (evaluated > 0) this.#prefillPerMs = smooth(this.#prefillPerMs, evaluated / stepMs);
    if (answering > 0) this.#decodePerMs = smooth(this.#decodePerMs, 1 / stepMs);
    this.#finish(prefilled, steps);
  }

  #finish(prefilled: readonly Running[], steps: number): void {
    const nowMs = this.#clockMs;
    const fresh = new Set(prefilled);
    let ended = false;
    for (const running of this.#running) {
      const { job, hit } = running;
      if (fresh.has(running)) {
        const { blocks } = job.request;
        this.cache.computed(blocks, hit, job.marks, nowMs);
        running.computed = blocks.length;
        running.made = 1;
        job.firstToken(nowMs, hit * BLOCK_TOKENS);
      } else if (running.left === 0) running.made += steps;
      if (running.left === 0 && running.made >= job.answer) {
        ended = true;
        this.cache.release(job.request.blocks, running.computed, answerBlocks(job), nowMs);
        job.ended(nowMs);
      }
    }
    if (ended)
      this.#running = this.#running.filter(
        (running) => running.left > 0 || running.made < running.job.answer,
      );
  }
}

export function jobMarks(request: SimRequest): BlockMarks {
  return marksOfBlocks(request.blocks);
}

function answerBlocks({ answer }: Job): number {
  return Math.ceil(answer / BLOCK_TOKENS);
}

function smooth(known: number, measured: number): number {
  return known === 0 ? measured : known + (measured - known) * SMOOTH;
}
