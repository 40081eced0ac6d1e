/**
 * The binding's batch, driven directly: what all tasks want evaluated in one turn is one native call, or one for the answers and
 * one for each long prompt (passes.ts), and then each that wants a token chooses it (native.ts). The binding's own generators take a lock, a queue and a dozen promises
 * per token and task, which on small models costs more than the model. They are not used beside this: the context's
 * sequences belong to whoever holds a Batch.
 *
 * Like native.ts' these calls are not published by node-llama-cpp: `openBatch` looks whether all of them are there.
 */
import type { LlamaContext } from "node-llama-cpp";
import { property } from "./native.ts";
import { passesOf } from "./passes.ts";
import type { Kind } from "./size-class.ts";

/** One sequence's part of a turn. */
export type Work<Chosen> = {
  readonly sequence: number;
  /** The position of the first of `tokens` in the sequence. */
  readonly at: number;
  readonly tokens: readonly number[];
  /**
   * Chooses what follows from the logits at this index, which are there until it resolves; undefined: not yet. Who cannot choose
   * resolves with undefined and deals with it: a rejection is the context's failing, and everybody's end.
   */
  readonly choose?: (logitIndex: number) => Promise<Chosen | undefined>;
};

/** Says how many threads a pass of so many tokens gets, and hears how long it took. */
export type Threads = {
  threads(kind: Kind, tokens: number): number;
  note?(kind: Kind, tokens: number, ms: number): void;
};

export interface Batch {
  evaluate<Chosen>(works: readonly Work<Chosen>[]): Promise<readonly (Chosen | undefined)[]>;
  /** False where the model's memory cannot be cut there: then the sequence is empty. */
  cut(sequence: number, at: number): boolean;
  /** Makes `to` a copy of `from`; whatever was in it is gone. */
  copy(from: number, to: number): Promise<void>;
  useThreads(threads: Threads): void;
}

type Addon = {
  initBatch(size: number): void;
  addToBatch(sequence: number, at: number, tokens: Uint32Array, logitsOf: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean;
  disposeSequence(sequence: number): void;
  copySequenceStateFromOtherSequence(to: number, from: number): Promise<number>;
  setThreads(threads: number): void;
};

const CALLS = [
  "initBatch",
  "addToBatch",
  "decodeBatch",
  "removeTokenCellsFromSequence",
  "disposeSequence",
  "copySequenceStateFromOtherSequence",
  "setThreads",
] as const satisfies readonly (keyof Addon)[];

const NONE = new Uint32Array();

/** `inOrder`: what is asked of the binding runs in the order of asking (workers.ts). */
export function openBatch(context: LlamaContext, inOrder = false): Batch {
  const native = property(context, "_ctx") as Addon;
  for (const name of CALLS) property(native, name);
  let governor: Threads = { threads: () => 1 };
  let threadsNow = 0;
  const setThreads = (count: number): void => {
    if (count !== threadsNow) native.setThreads(count);
    threadsNow = count;
  };
  const pass = async <Chosen>(works: readonly Work<Chosen>[]): Promise<readonly (Chosen | undefined)[]> => {
    const size = works.reduce((sum, { tokens }) => sum + tokens.length, 0);
    native.initBatch(size);
    const indices = works.map(({ sequence, at, tokens, choose }) => {
      const wanted = choose === undefined ? NONE : Uint32Array.of(tokens.length - 1);
      return native.addToBatch(sequence, at, Uint32Array.from(tokens), wanted)[0];
    });
    const kind = size > works.length ? "prompt" : "decode";
    setThreads(governor.threads(kind, size));
    const startedAtMs = performance.now();
    const decoded = native.decodeBatch();
    const choose = (): Promise<(Chosen | undefined)[]> =>
      Promise.all(
        works.map(async (work, i) => {
          const index = indices[i];
          return index === undefined ? undefined : work.choose?.(index);
        }),
      );
    // Asked for now, the tokens are chosen while this thread still hears that the pass is over.
    const early = inOrder ? choose() : undefined;
    // Where the pass fails, so do the choices, and nobody waits for them any more.
    early?.catch(() => undefined);
    await decoded;
    governor.note?.(kind, size, performance.now() - startedAtMs);
    return early ?? choose();
  };
  return {
    async evaluate<Chosen>(works: readonly Work<Chosen>[]) {
      const chosen: (Chosen | undefined)[] = works.map(() => undefined);
      for (const places of passesOf(works)) {
        const of = await pass(places.flatMap((place) => works[place] ?? []));
        for (const [i, place] of places.entries()) chosen[place] = of[i];
      }
      return chosen;
    },
    cut(sequence, at) {
      if (native.removeTokenCellsFromSequence(sequence, at, -1)) return true;
      native.disposeSequence(sequence);
      return false;
    },
    async copy(from, to) {
      await native.copySequenceStateFromOtherSequence(to, from);
    },
    useThreads(given) {
      governor = given;
    },
  };
}
