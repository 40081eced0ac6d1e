/** Streams that step together, and what happens when one leaves. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { EventQueue } from "../../../gpu-node/src/engines/llama/event-queue.ts";
import type { Work } from "../../../gpu-node/src/engines/llama/batch.ts";
import { passesOf } from "../../../gpu-node/src/engines/llama/passes.ts";
import type { Sampled } from "../../../gpu-node/src/engines/llama/sampler.ts";
import { type Run, StepLoop, shareOut } from "../../../gpu-node/src/engines/llama/step-loop.ts";

/** A task of so many prompt and output tokens that keeps a diary. */
type FakeRun = Run & { stopped: boolean; afterTurn: () => void };
const A_TOKEN = 7;

function fakeRun(name: string, diary: string[], prompt: number, output: number): FakeRun {
  let decoded = 0;
  let left = prompt;
  const run: FakeRun = {
    stopped: false,
    afterTurn: () => undefined,
    get prefillTokensLeft() {
      return left;
    },
    join: async () => void diary.push(`${name} joins`),
    next: (prefillTokens) => {
      run.afterTurn();
      if (left > 0) {
        if (prefillTokens === 0) return "wait";
        left -= prefillTokens;
        diary.push(`${name} reads ${prefillTokens}`);
        return { sequence: 0, at: 0, tokens: Array.from({ length: prefillTokens }, () => A_TOKEN) };
      }
      return { sequence: 0, at: 0, tokens: [A_TOKEN], choose: () => Promise.resolve({ id: A_TOKEN }) };
    },
    take: (_work, sampled) => {
      if (sampled === undefined) return "more";
      decoded += 1;
      diary.push(`${name} writes ${decoded}`);
      return decoded === output ? "done" : "more";
    },
    leave: () => void diary.push(`${name} leaves`),
  };
  return run;
}

const evaluate = (works: readonly Work<Sampled>[]): Promise<readonly (Sampled | undefined)[]> =>
  Promise.all(works.map(async ({ choose }) => choose?.(0)));

describe("tasks run in step", () => {
  const start = (diary: string[]): { loop: StepLoop; quiet: Promise<void> } => {
    let turns = 0;
    let settle: () => void = () => undefined;
    const quiet = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const afterTurn = (): void => {
      turns += 1;
      diary.push(`turn ${turns}`);
      setImmediate(settle);
    };
    return { loop: new StepLoop(() => 10, 1, { evaluate, afterTurn, fatal: settle }), quiet };
  };

  test("a chunk is shared, the shortest prompt is through first, and writers never wait for more than one", async ({
    expect,
  }) => {
    const diary: string[] = [];
    const { loop, quiet } = start(diary);
    loop.add(fakeRun("long", diary, 14, 1));
    loop.add(fakeRun("short", diary, 4, 3));
    await quiet;
    expect(diary).toEqual([
      "long joins", "short joins", "long reads 6", "short reads 4", "turn 1",
      "long reads 8", "short writes 1", "turn 2",
      "long writes 1", "short writes 2", "long leaves", "turn 3",
      "short writes 3", "short leaves", "turn 4",
    ]); // prettier-ignore
  });

  test("a task whose caller has gone leaves before the next turn", async ({ expect }) => {
    const diary: string[] = [];
    const { loop, quiet } = start(diary);
    const run = fakeRun("a", diary, 4, 9);
    run.afterTurn = () => {
      run.stopped = true;
    };
    loop.add(run);
    await quiet;
    expect(diary).toEqual(["a joins", "a reads 4", "turn 1", "a leaves", "turn 2"]);
  });

  test("what throws is fatal: nobody knows what it left behind", async ({ expect }) => {
    const failure = new Error("decode failed");
    const seen = await new Promise((resolve) => {
      const loop = new StepLoop(() => 10, 1, {
        evaluate: () => Promise.reject(failure),
        afterTurn: () => undefined,
        fatal: resolve,
      });
      loop.add(fakeRun("a", [], 0, 1));
    });
    expect(seen).toBe(failure);
  });

  test.for<[string, readonly number[], number, readonly number[]]>([
    ["the oldest has half of a chunk, and the shortest is through", [0, 300, 5], 128, [0, 64, 5]],
    ["what is left of a prompt is taken along where it is less than a tile", [100, 100], 128, [100, 0]],
    ["nobody gets less than a tile that does not end", [1_000, 90, 10], 128, [64, 0, 10]],
    ["alone: all of the chunk", [2_000], 256, [256]],
    ["alone, near the end: a tile less, so that one and a bit are left", [2_000, 0, 0], 1_984, [1_920, 0, 0]],
    ["nobody wants any", [0, 0], 128, [0, 0]],
    ["nobody is there", [], 128, []],
  ])("prompts share a chunk: %s", ([, wanted, total, shares], { expect }) => {
    expect(shareOut(wanted, total, 64)).toEqual(shares);
  });

  test("where a chunk is one tile, the oldest and the shortest take turns", ({ expect }) => {
    expect(shareOut([1_000, 90, 10], 64, 64)).toEqual([64, 0, 0]);
    expect(shareOut([1_000, 90, 10], 64, 64, true)).toEqual([0, 0, 10]);
  });

  test("whoever wants what: whole tiles or an end, hardly more than a chunk, and the oldest gets on", ({
    expect,
  }) => {
    const tile = 64;
    const prompts = fc.array(fc.nat(3_000), { maxLength: 12 });
    fc.assert(
      fc.property(prompts, fc.integer({ min: 1, max: 8 }), fc.boolean(), (wanted, tiles, shortestFirst) => {
        const shares = shareOut(wanted, tiles * tile, tile, shortestFirst);
        const sum = shares.reduce((all, share) => all + share, 0);
        expect(sum).toBeLessThan((tiles + 1) * tile);
        expect(sum > 0).toBe(wanted.some((want) => want > 0));
        for (const [i, share] of shares.entries()) {
          const left = (wanted[i] ?? 0) - share;
          expect(left).toBeGreaterThanOrEqual(0);
          if (share > 0 && left > 0) expect(Math.min(share, left)).toBeGreaterThanOrEqual(tile);
        }
        const oldest = wanted.findIndex((want) => want > 0);
        if (oldest >= 0 && !(tiles === 1 && shortestFirst)) expect(shares[oldest]).toBeGreaterThan(0);
      }),
    );
  });

  test("answers go by slot, whole tiles alone, short prompts together", ({ expect }) => {
    const part = (sequence: number, tokens: number) => ({
      sequence,
      tokens: Array.from({ length: tokens }, () => A_TOKEN),
    });
    const works = [part(5, 1), part(2, 1), part(9, 70), part(4, 20), part(3, 1), part(1, 30), part(0, 64)];
    expect(passesOf(works)).toEqual([[1, 4, 0], [5, 3], [6], [2]]);
    expect(passesOf([])).toEqual([]);
  });
});

describe("what waits for a slow reader", () => {
  const token = (id: number) => ({ kind: "tokens", tokens: [{ id, bytes: new Uint8Array() }] }) as const;

  test("is merged: of prefill the last report, of tokens all in one", async ({ expect }) => {
    const queue = new EventQueue();
    queue.push({ kind: "started", cached: 1 });
    queue.push({ kind: "evaluated", promptTokens: 5 });
    queue.push({ kind: "evaluated", promptTokens: 9 });
    for (const id of [1, 2, 3]) queue.push(token(id));
    expect(await queue.next()).toEqual({ kind: "started", cached: 1 });
    expect(await queue.next()).toEqual({ kind: "evaluated", promptTokens: 9 });
    expect(await queue.next()).toMatchObject({ tokens: [{ id: 1 }, { id: 2 }, { id: 3 }] });
  });

  test("is dropped when the task fails, and the first reason stands", async ({ expect }) => {
    const queue = new EventQueue();
    queue.push(token(1));
    queue.fail(new Error("first"));
    queue.fail(new Error("second"));
    await expect(queue.next()).rejects.toThrow("first");
  });
});
