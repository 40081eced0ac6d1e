/**
 * A node's prefix cache: blocks in use by running requests, and behind them the ones that could be reused, least
 * recently used first. Beside it the node's sketch: which marks it would say, and since when, so that a router can be
 * shown it as it was some seconds ago without a copy for every second.
 */
import { nextOnScale, SKETCH_MARKS_MAX } from "@sluice/protocol/sketch";
import { BLOCK_TOKENS } from "./request.ts";

const CHARS_PER_TOKEN = 4;
/** As `trailOf` takes the ends of a prompt's first and last messages: in a trace every block counts as a message. */
const FIRST_ENDS = 8;
const LAST_ENDS = 24;

export type BlockMarks = { readonly marks: Uint32Array; readonly chars: Uint32Array };

/** Where a prompt of these blocks has boundaries, as the protocol's recipe has them. */
export function marksOfBlocks(blocks: readonly number[]): BlockMarks {
  const marks: number[] = [];
  const chars: number[] = [];
  for (const [at, block] of blocks.entries()) {
    const end = (at + 1) * BLOCK_TOKENS * CHARS_PER_TOKEN;
    const onScale = nextOnScale(end - 1) === end;
    if (!onScale && at >= FIRST_ENDS && at < blocks.length - LAST_ENDS) continue;
    marks.push(block);
    chars.push(end);
  }
  return { marks: Uint32Array.from(marks), chars: Uint32Array.from(chars) };
}

export function charsOf(tokens: number): number {
  return tokens * CHARS_PER_TOKEN;
}

type Said = { readonly sinceMs: number; untilMs: number };

export class BlockCache {
  readonly #capacity: number;
  /** Blocks of running requests, with how many use them. */
  readonly #used = new Map<number, number>();
  /** Oldest first. */
  readonly #idle = new Map<number, true>();
  /** Blocks that are reserved and not computed yet, or hold an answer. */
  #reserved = 0;
  /** The marks the sketch would say now, oldest first, and what it said before. */
  readonly #marks = new Map<number, true>();
  readonly #said = new Map<number, Said>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The part of the memory that running requests hold. */
  get usage(): number {
    return (this.#used.size + this.#reserved) / this.#capacity;
  }

  /** Takes room for a request; how many of its first blocks are cached, or undefined where there is no room now. */
  acquire(blocks: readonly number[], answerBlocks: number, nowMs: number): number | undefined {
    let hit = 0;
    while (hit < blocks.length && this.#has(blocks[hit] ?? 0)) hit++;
    const needed = blocks.length - hit + answerBlocks;
    const idleHit = blocks.slice(0, hit).filter((block) => this.#idle.has(block)).length;
    if (this.#used.size + this.#reserved + idleHit + needed > this.#capacity) return undefined;
    for (let at = 0; at < hit; at++) this.#use(blocks[at] ?? 0);
    this.#reserved += needed;
    this.#evict(nowMs);
    return hit;
  }

  /** The blocks after the first `hit` have been computed. */
  computed(blocks: readonly number[], hit: number, marks: BlockMarks, nowMs: number): void {
    for (let at = hit; at < blocks.length; at++) this.#use(blocks[at] ?? 0);
    this.#reserved -= blocks.length - hit;
    this.#touch(marks, nowMs);
  }

  /** The request is over; `computedBlocks` of its prompt's blocks are in use, the rest was only reserved. */
  release(blocks: readonly number[], computedBlocks: number, answerBlocks: number, nowMs: number): void {
    this.#reserved -= answerBlocks + blocks.length - computedBlocks;
    // Deepest first, so that of one prompt the end goes before the beginning.
    for (let at = computedBlocks - 1; at >= 0; at--) {
      const block = blocks[at] ?? 0;
      const uses = (this.#used.get(block) ?? 1) - 1;
      if (uses > 0) this.#used.set(block, uses);
      else {
        this.#used.delete(block);
        this.#idle.delete(block);
        this.#idle.set(block, true);
      }
    }
    this.#evict(nowMs);
  }

  /** Whether the sketch of that moment had this mark. */
  saidAt(mark: number, atMs: number): boolean {
    const said = this.#said.get(mark);
    return said !== undefined && said.sinceMs <= atMs && atMs < said.untilMs;
  }

  #has(block: number): boolean {
    return this.#used.has(block) || this.#idle.has(block);
  }

  #use(block: number): void {
    this.#idle.delete(block);
    this.#used.set(block, (this.#used.get(block) ?? 0) + 1);
  }

  #evict(nowMs: number): void {
    for (const [block] of this.#idle) {
      if (this.#used.size + this.#reserved + this.#idle.size <= this.#capacity) return;
      this.#idle.delete(block);
      this.#unsay(block, nowMs);
    }
  }

  #touch({ marks }: BlockMarks, nowMs: number): void {
    for (let at = marks.length - 1; at >= 0; at--) {
      const mark = marks[at] ?? 0;
      if (!this.#marks.delete(mark)) this.#said.set(mark, { sinceMs: nowMs, untilMs: Infinity });
      this.#marks.set(mark, true);
    }
    for (const [mark] of this.#marks) {
      if (this.#marks.size <= SKETCH_MARKS_MAX) return;
      this.#unsay(mark, nowMs);
    }
  }

  #unsay(mark: number, nowMs: number): void {
    if (!this.#marks.delete(mark)) return;
    const said = this.#said.get(mark);
    if (said !== undefined) said.untilMs = nowMs;
  }
}
