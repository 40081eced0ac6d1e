/** Streams that step together, and what happens when one leaves. */
import { describe, test } from "vitest";
import { EventQueue } from "../../../gpu-node/src/engines/llama/event-queue.ts";
import { type Run, StepLoop, shareOut } from "../../../gpu-node/src/engines/llama/step-loop.ts";

/** A task of so many prompt and output tokens that keeps a diary. */
type FakeRun = Run & { stopped: boolean; afterTurn: () => void };

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
    turn: async (prefillTokens) => {
      run.afterTurn();
      if (left > 0) {
        left -= prefillTokens;
        diary.push(`${name} reads ${prefillTokens}`);
        return "more";
      }
      decoded += 1;
      diary.push(`${name} writes ${decoded}`);
      return decoded === output ? "done" : "more";
    },
    leave: async () => void diary.push(`${name} leaves`),
  };
  return run;
}

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
    return { loop: new StepLoop(10, { afterTurn, fatal: settle }), quiet };
  };

  test("a chunk is shared first come first served, and writers never wait for more than one", async ({
    expect,
  }) => {
    const diary: string[] = [];
    const { loop, quiet } = start(diary);
    loop.add(fakeRun("a", diary, 4, 3));
    loop.add(fakeRun("b", diary, 12, 1));
    await quiet;
    expect(diary).toEqual([
      "a joins", "b joins", "a reads 4", "b reads 6", "turn 1",
      "a writes 1", "b reads 6", "turn 2",
      "a writes 2", "b writes 1", "b leaves", "turn 3",
      "a writes 3", "a leaves", "turn 4",
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
      const loop = new StepLoop(10, { afterTurn: () => undefined, fatal: resolve });
      loop.add({ ...fakeRun("a", [], 0, 1), turn: () => Promise.reject(failure) });
    });
    expect(seen).toBe(failure);
  });

  test("shares never exceed the chunk", ({ expect }) => {
    expect(shareOut([0, 300, 5], 128)).toEqual([0, 128, 0]);
    expect(shareOut([100, 100], 128)).toEqual([100, 28]);
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
