/** What one task has evaluated serves the next, also while the first still writes. */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { EngineEvent, Task } from "../../../gpu-node/src/engines/engine.ts";
import type { LlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";
import { collect, tokensOf } from "../engine-contract.ts";
import { openLlama } from "./weights-under-test.ts";

const never = new AbortController().signal;
const LONG = `${"Count the apples and the pears, then the plums. ".repeat(8)}Count from 1 to 90.`;

describe("prefixes between slots", () => {
  let engine: LlamaEngine;
  beforeAll(async () => {
    engine = await openLlama({ slots: 6, contextTokens: 1_024 });
  });
  afterAll(() => engine.close());

  const taskFor = async (content: string, tag: string): Promise<Task> => ({
    prompt: await engine.encodeChat({ messages: [{ role: "user", content }], thinking: false }),
    delivered: [],
    outputTokensMax: 30,
    sampling: { temperature: 0, topP: 1 },
    tag,
  });

  /** Starts a second task at the first token of another. */
  async function beside(first: Task, second: Task): Promise<readonly [EngineEvent[], EngineEvent[]]> {
    const events: EngineEvent[] = [];
    let other: Promise<EngineEvent[]> | undefined;
    for await (const event of engine.generate(first, never)) {
      events.push(event);
      if (event.kind === "tokens") other ??= collect(engine.generate(second, never));
    }
    return [events, (await other) ?? []];
  }

  test("a prompt that another task is answering right now is not evaluated again", async ({ expect }) => {
    const task = await taskFor(LONG, "busy");
    const [first, second] = await beside(task, task);
    expect(first[0]).toEqual({ kind: "started", cached: 0 });
    expect(second[0]).toEqual({ kind: "started", cached: task.prompt.length - 1 });
    expect(tokensOf(second)).toEqual(tokensOf(first));
  });

  test("but never one of another tag", async ({ expect }) => {
    const task = await taskFor(LONG, "mine");
    const [, second] = await beside(task, { ...task, tag: "yours" });
    expect(second[0]).toEqual({ kind: "started", cached: 0 });
  });

  test("a conversation is still there after another that began the same way", async ({ expect }) => {
    const conversation = await taskFor(`${LONG} And then name the first of them, please.`, "fork");
    const sibling = await taskFor(`${LONG} But how many were there in all of the baskets?`, "fork");
    await collect(engine.generate(conversation, never));
    const other = await collect(engine.generate(sibling, never));
    expect(other[0]).toMatchObject({ kind: "started" });
    expect(other[0]?.kind === "started" && other[0].cached).toBeGreaterThan(100);
    const again = await collect(engine.generate(conversation, never));
    expect(again[0]).toEqual({ kind: "started", cached: conversation.prompt.length - 1 });
  });
});
