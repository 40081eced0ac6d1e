/** Streams that step together, and what happens when one leaves. */
import { describe, test } from "vitest";
import { EventQueue } from "../../../gpu-node/src/engines/llama/event-queue.ts";
import type { Work } from "../../../gpu-node/src/engines/llama/batch.ts";
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
    return { loop: new StepLoop(() => 10, { evaluate, afterTurn, fatal: settle }), quiet };
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
      const loop = new StepLoop(() => 10, {
        evaluate: () => Promise.reject(failure),
        afterTurn: () => undefined,
        fatal: resolve,
      });
      loop.add(fakeRun("a", [], 0, 1));
    });
    expect(seen).toBe(failure);
  });

  test("the oldest prompt has half of a chunk, the rest goes to the shortest, and none of it is wasted", ({
    expect,
  }) => {
    expect(shareOut([0, 300, 5], 128)).toEqual([0, 123, 5]);
    expect(shareOut([100, 100], 128)).toEqual([100, 28]);
    expect(shareOut([1_000, 90, 10], 128)).toEqual([64, 54, 10]);
    expect(shareOut([0, 0], 128)).toEqual([0, 0]);
    expect(shareOut([], 128)).toEqual([]);
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
