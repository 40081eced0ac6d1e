/**
 * Sealed answers in this isolate's memory: bounded in bytes and in number, and fair. When it is full the account that
 * fills it most gives way, oldest use first; so nobody's flood pushes out another's few answers. Losing all of it costs
 * look-ups in farther layers.
 */
import type { AnswerName } from "./name.ts";
import { MEMORY_ANSWERS_MAX, MEMORY_BYTES_MAX } from "./policy.ts";
import type { SealedAnswer } from "./seal.ts";

export type Kept = {
  readonly sealed: SealedAnswer;
  /** Already in Workers KV, as far as this isolate knows. */
  inKv: boolean;
};

type Shelf = { bytes: number; readonly answers: Map<string, Kept> };

export class AnswerMemory {
  readonly #bytesMax: number;
  readonly #answersMax: number;
  /** By account; within one, least recently used first. */
  readonly #shelves = new Map<string, Shelf>();
  #bytes = 0;
  #answers = 0;

  constructor(bytesMax: number, answersMax: number) {
    this.#bytesMax = bytesMax;
    this.#answersMax = answersMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(name: AnswerName, nowMs: number): Kept | undefined {
    const shelf = this.#shelves.get(name.account);
    const kept = shelf?.answers.get(name.text);
    if (shelf === undefined || kept === undefined) return undefined;
    if (kept.sealed.head.expiresAtMs <= nowMs) {
      this.drop(name);
      return undefined;
    }
    shelf.answers.delete(name.text);
    shelf.answers.set(name.text, kept);
    return kept;
  }

  put(name: AnswerName, kept: Kept): void {
    this.drop(name);
    const bytes = sizeOf(kept);
    if (bytes > this.#bytesMax) return;
    while (this.#bytes + bytes > this.#bytesMax || this.#answers >= this.#answersMax)
      this.#giveWay(name, bytes);
    const shelf = this.#shelves.get(name.account) ?? { bytes: 0, answers: new Map<string, Kept>() };
    this.#shelves.set(name.account, shelf);
    shelf.answers.set(name.text, kept);
    shelf.bytes += bytes;
    this.#bytes += bytes;
    this.#answers++;
  }

  drop(name: AnswerName): void {
    const shelf = this.#shelves.get(name.account);
    const kept = shelf?.answers.get(name.text);
    if (shelf === undefined || kept === undefined) return;
    shelf.answers.delete(name.text);
    shelf.bytes -= sizeOf(kept);
    this.#bytes -= sizeOf(kept);
    this.#answers--;
    if (shelf.answers.size === 0) this.#shelves.delete(name.account);
  }

  /** As a new isolate has it. */
  clear(): void {
    this.#shelves.clear();
    this.#bytes = 0;
    this.#answers = 0;
  }

  /** Drops one answer of the account that holds most, the newcomer's own counted with it. */
  #giveWay(newcomer: AnswerName, bytes: number): void {
    let fullest: string | undefined;
    let most = -1;
    for (const [account, shelf] of this.#shelves) {
      const size = shelf.bytes + (account === newcomer.account ? bytes : 0);
      if (size <= most) continue;
      most = size;
      fullest = account;
    }
    if (fullest === undefined) return;
    const oldest = this.#shelves.get(fullest)?.answers.keys().next().value;
    if (oldest !== undefined) this.drop({ account: fullest, text: oldest });
  }
}

/** This isolate's. */
export const answerMemory = new AnswerMemory(MEMORY_BYTES_MAX, MEMORY_ANSWERS_MAX);

function sizeOf({ sealed }: Kept): number {
  return sealed.bytes.length;
}
