/** The contract of engines, kept by the scripted one, and the failures it can be told. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, onTestFinished, test } from "vitest";
import type { Engine, EngineEvent, Task } from "../../../gpu-node/src/engines/engine.ts";
import { openEngine } from "../../../gpu-node/src/engines/open.ts";
import { createScriptEngine } from "../../../gpu-node/src/engines/script/engine.ts";
import { collect, describeEngineContract, textOf, tokensOf } from "../engine-contract.ts";

describeEngineContract("script", async () => ({
  engine: await openEngine({ kind: "script", slots: 3, contextTokens: 2_048, restartMs: 100 }),
  longQuestion: '{"script":{"tokens":2000,"everyMs":1}}',
  shortQuestion: "hello",
  deadlyQuestion: '{"script":{"tokens":2000,"everyMs":1,"dieAt":5}}',
  kill: () => undefined,
}));

async function taskFor(
  engine: Engine,
  content: string,
  rest: Partial<Task> & { thinking?: boolean } = {},
): Promise<Task> {
  const { thinking = false, ...fields } = rest;
  const prompt = await engine.encodeChat({ messages: [{ role: "user", content }], thinking });
  return {
    prompt,
    delivered: [],
    outputTokensMax: 1_000,
    sampling: { temperature: 0, topP: 1 },
    tag: "t",
    ...fields,
  };
}

function run(engine: Engine, task: Task): Promise<EngineEvent[]> {
  return collect(engine.generate(task, new AbortController().signal));
}

describe("a scripted answer", () => {
  test("repeats the message where no script is given", async ({ expect }) => {
    const engine = createScriptEngine();
    const tokens = tokensOf(await run(engine, await taskFor(engine, "grüß dich")));
    expect(textOf(tokens)).toBe("grüß dich");
  });

  test("has as many numbered words as asked for, after its thinking", async ({ expect }) => {
    const engine = createScriptEngine();
    const task = await taskFor(engine, 'please: {"script":{"tokens":3,"think":2}} thanks', {
      thinking: true,
    });
    const tokens = tokensOf(await run(engine, task));
    expect(tokens.map(({ id }) => id)).toEqual([
      1_000,
      1_001,
      engine.info.think?.close,
      1_000,
      1_001,
      1_002,
      ...engine.info.endTokens,
    ]);
    expect(textOf(tokens)).toBe("0 1 0 1 2 ");
  });

  test("keeps to its times", async ({ expect }) => {
    const engine = createScriptEngine();
    const task = await taskFor(engine, '{"script":{"tokens":9,"everyMs":20}}');
    const startedAt = performance.now();
    await run(engine, task);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(195);
  });

  test("takes its time over prompt tokens that are not cached", async ({ expect }) => {
    const engine = createScriptEngine();
    const task = await taskFor(engine, '{"script":{"tokens":1,"prefillMsPerToken":3}}');
    const lasted: number[] = [];
    for (let i = 0; i < 2; i++) {
      const startedAt = performance.now();
      await run(engine, task);
      lasted.push(performance.now() - startedAt);
    }
    expect(lasted[0]).toBeGreaterThanOrEqual(task.prompt.length * 3 - 5);
    expect(lasted[1]).toBeLessThan(task.prompt.length * 3 - 5);
  });

  test("dies for a fresh task only, so that the next node can finish it", async ({ expect }) => {
    const engine = createScriptEngine({ restartMs: 1 });
    const task = await taskFor(engine, '{"script":{"tokens":10,"dieAt":4}}');
    await expect(run(engine, task)).rejects.toMatchObject({ kind: "engine_died" });
    const other = createScriptEngine();
    const rest = tokensOf(await run(other, { ...task, delivered: [1_000, 1_001, 1_002, 1_003] }));
    expect(textOf(rest)).toBe("4 5 6 7 8 9 ");
  });

  test("dies again where the list says so", async ({ expect }) => {
    const engine = createScriptEngine({ restartMs: 1 });
    const task = await taskFor(engine, '{"script":{"tokens":10,"dieAt":[2,4]}}');
    const delivered = [1_000, 1_001];
    const seen: number[] = [];
    const reading = (async () => {
      for await (const event of engine.generate({ ...task, delivered }, new AbortController().signal)) {
        if (event.kind === "tokens") seen.push(...event.tokens.map(({ id }) => id));
      }
    })();
    await expect(reading).rejects.toMatchObject({ kind: "engine_died" });
    expect(seen).toEqual([1_002, 1_003]);
  });

  test("hangs until its caller goes", async ({ expect }) => {
    const engine = createScriptEngine();
    const task = await taskFor(engine, '{"script":{"tokens":10,"hangAt":3}}');
    const caller = new AbortController();
    const reason = new Error("enough");
    let seen = 0;
    const reading = (async () => {
      for await (const event of engine.generate(task, caller.signal)) {
        if (event.kind !== "tokens") continue;
        seen += event.tokens.length;
        if (seen === 3) setTimeout(() => caller.abort(reason), 20);
      }
    })();
    await expect(reading).rejects.toBe(reason);
    expect(seen).toBe(3);
  });

  test("fails only on the engine it names", async ({ expect }) => {
    const engine = createScriptEngine({ name: "b" });
    const events = await run(engine, await taskFor(engine, '{"script":{"tokens":3,"dieAt":1,"on":"a"}}'));
    expect(events.at(-1)).toEqual({ kind: "end", why: "stop" });
  });

  test("leaves a record of every position it emitted", async ({ expect }) => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-script-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const positionsFile = join(folder, "positions.jsonl");
    const engine = createScriptEngine({ name: "n1", positionsFile });
    await run(engine, await taskFor(engine, '{"script":{"tokens":2}}', { delivered: [1_000] }));
    await run(engine, { ...(await taskFor(engine, '{"script":{"tokens":0}}')), name: "req_1/0" });
    const lines = (await readFile(positionsFile, "utf8")).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { engine: "n1", task: 1, position: 1, id: 1_001 },
      { engine: "n1", task: 1, position: 2, id: engine.info.endTokens[0] },
      { engine: "n1", task: "req_1/0", position: 0, id: engine.info.endTokens[0] },
    ]);
  });

  test("is refused, with the reason, where the script makes no sense", async ({ expect }) => {
    const engine = createScriptEngine();
    const task = await taskFor(engine, '{"script":{"tokns":2}}');
    await expect(run(engine, task)).rejects.toMatchObject({
      kind: "unsupported",
      message: expect.stringContaining("tokns"),
    });
  });
});
