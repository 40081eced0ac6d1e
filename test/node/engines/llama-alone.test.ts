/** What one task asks is its own affair: where llama.cpp can make nothing of it, that task is refused and its neighbours write on. */
import { afterAll, beforeAll, describe, type ExpectStatic, test } from "vitest";
import type { EngineEvent, Sampling, Task, Token } from "../../../gpu-node/src/engines/engine.ts";
import type { LlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";
import { answerGrammar } from "../../../gpu-node/src/grammar/answer-grammar.ts";
import type { Form } from "../../../gpu-node/src/grammar/form.ts";
import { openingOf } from "../../../gpu-node/src/grammar/tools.ts";
import { textOf, tokensOf } from "../engine-contract.ts";
import { openLlama } from "./weights-under-test.ts";

const NEVER = Number.NEGATIVE_INFINITY;
const GREEDY: Sampling = { temperature: 0, topP: 1 };
const SAMPLED: Sampling = { temperature: 1, topP: 1, seed: 5 };
const OBJECT = String.raw`root ::= "{\"sum\":" [0-9]{1,6} "}"`;
/** Behind the first letter comes what no text has. */
const DEAD_END = String.raw`root ::= "a" [\U7FFFFFFF]`;
const never = new AbortController().signal;

describe("beside a neighbour that writes", () => {
  let engine: LlamaEngine;
  let vocabulary: readonly Token[];
  beforeAll(async () => {
    engine = await openLlama({ slots: 3, contextTokens: 1_024 });
    vocabulary = await engine.decode(Array.from({ length: engine.info.vocabularyTokens }, (_, id) => id));
  });
  afterAll(() => engine.close());

  let asked = 0;
  const taskFor = async (rest: Partial<Task> & { thinks?: boolean }): Promise<Task> => {
    const { thinks = false, ...more } = rest;
    const messages = [{ role: "user", content: "What is 12 + 35?" }] as const;
    const prompt = await engine.encodeChat({ messages, thinking: thinks });
    return { prompt, delivered: [], outputTokensMax: 60, sampling: GREEDY, tag: `t${(asked += 1)}`, ...more };
  };

  /** Runs it in the middle of another's answer, which must not hear of it. */
  const beside = async (expect: ExpectStatic, task: Task): Promise<EngineEvent[]> => {
    const { pid } = engine;
    const neighbour = await taskFor({
      outputTokensMax: 400,
      sampling: { ...GREEDY, logitBias: engine.info.endTokens.map((id) => [id, NEVER]) },
    });
    const writing = engine.generate(neighbour, never)[Symbol.asyncIterator]();
    const first = [await writing.next(), await writing.next(), await writing.next()];
    expect(first.map(({ done }) => done)).toEqual([false, false, false]);
    const events: EngineEvent[] = [];
    try {
      for await (const event of engine.generate(task, never)) events.push(event);
    } finally {
      let last: EngineEvent | undefined;
      for (let next = await writing.next(); next.done !== true; next = await writing.next())
        last = next.value;
      expect(last).toEqual({ kind: "end", why: "length" });
      expect([engine.ready, engine.pid]).toEqual([true, pid]);
    }
    return events;
  };

  const forbid = (ids: readonly number[]): NonNullable<Sampling["logitBias"]> =>
    ids.map((id) => [id, NEVER] as const);

  describe.each([
    ["greedy", GREEDY],
    ["sampled", SAMPLED],
  ])("%s", (_how, sampling) => {
    test("an answer comes in its form, also where the client forbids every token that begins it or ends it", async ({
      expect,
    }) => {
      const braces = vocabulary.filter(({ bytes }) => bytes[0] === 0x7b || bytes.includes(0x7d));
      const logitBias = forbid([...braces.map(({ id }) => id), ...engine.info.endTokens]);
      const events = await beside(
        expect,
        await taskFor({ grammar: { gbnf: OBJECT }, sampling: { ...sampling, logitBias } }),
      );
      expect(events.at(-1)).toEqual({ kind: "end", why: "stop" });
      expect(textOf(tokensOf(events))).toMatch(/^\{"sum":\d{1,6}\}$/);
    });

    test("a task that forbids every token is refused", async ({ expect }) => {
      const logitBias = forbid(vocabulary.map(({ id }) => id));
      const task = await taskFor({ sampling: { ...sampling, logitBias } });
      await expect(beside(expect, task)).rejects.toMatchObject({
        kind: "unsupported",
        message: "Every token is forbidden by logit_bias.",
      });
    });

    test("a form that leads nowhere ends where it does", async ({ expect }) => {
      const task = await taskFor({ grammar: { gbnf: DEAD_END }, sampling });
      await expect(beside(expect, task)).rejects.toMatchObject({
        kind: "unsupported",
        message: "No token of this model fits the form that is asked for.",
      });
    });
  });

  test("an answer that is not of the form it is to be continued in is refused before anything is evaluated", async ({
    expect,
  }) => {
    const delivered = (await engine.encodeText("zzz")).slice(-2);
    const task = await taskFor({ grammar: { gbnf: OBJECT }, delivered });
    await expect(beside(expect, task)).rejects.toMatchObject({
      kind: "unsupported",
      message: expect.stringContaining("cannot be continued"),
    });
    const seen: EngineEvent[] = [];
    await expect(
      (async () => {
        for await (const event of engine.generate(task, never)) seen.push(event);
      })(),
    ).rejects.toThrow();
    expect(seen).toEqual([]);
  });

  describe("a section of tools", () => {
    const grammarFor = (call: Form["call"]): NonNullable<Task["grammar"]> => {
      const tools = [{ name: "get_the_weather_in_a_place", strict: false, schema: undefined }];
      const form: Form = { format: { kind: "text" }, tools, call, parallel: false };
      const built = answerGrammar(form, engine.info.tools, engine.info.think?.close);
      if (!built.ok || built.grammar === undefined) throw new Error("the bundled model calls tools");
      return built.grammar;
    };
    const opening = (): number => {
      if (engine.info.tools === undefined) throw new Error("the bundled model calls tools");
      return openingOf(engine.info.tools).token;
    };

    test("that is opened inside thinking ends it: no budget closes the thinking again", async ({
      expect,
    }) => {
      const events = await beside(
        expect,
        await taskFor({
          thinks: true,
          thinkingTokensMax: 4,
          grammar: grammarFor("may"),
          outputTokensMax: 40,
          sampling: { ...GREEDY, logitBias: [[opening(), 100]] },
        }),
      );
      const ids = tokensOf(events).map(({ id }) => id);
      expect(ids[0]).toBe(opening());
      expect(ids).not.toContain(engine.info.think?.close);
      expect(textOf(tokensOf(events))).toContain("get_the_weather");
    });

    test("that must come, comes behind the thinking, where its form binds it", async ({ expect }) => {
      const events = await beside(
        expect,
        await taskFor({
          thinks: true,
          thinkingTokensMax: 4,
          grammar: grammarFor("must"),
          outputTokensMax: 40,
          sampling: { ...GREEDY, logitBias: [[opening(), 100]] },
        }),
      );
      const ids = tokensOf(events).map(({ id }) => id);
      const close = ids.indexOf(engine.info.think?.close ?? -1);
      expect([close <= 4, ids.indexOf(opening())]).toEqual([true, close + 1]);
    });
  });
});
