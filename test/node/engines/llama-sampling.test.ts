/** What a task may ask of llama.cpp beyond plain sampling, on the bundled model: bound, biased, counted, cut and continued. */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { EngineEvent, Task } from "../../../gpu-node/src/engines/engine.ts";
import type { LlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";
import { answerGrammar } from "../../../gpu-node/src/grammar/answer-grammar.ts";
import type { Form } from "../../../gpu-node/src/grammar/form.ts";
import { collect, textOf, tokensOf } from "../engine-contract.ts";
import { GPU, openLlama } from "./weights-under-test.ts";

const GREEDY = { temperature: 0, topP: 1 } as const;
const JSON_GRAMMAR = String.raw`root ::= "{\"sum\":" [0-9]{1,6} ",\"words\":[" word ("," word){0,3} "]}"
word ::= "\"" [a-z ]{1,6} "\""`;

describe("llama.cpp, asked for more", () => {
  let engine: LlamaEngine;
  beforeAll(async () => {
    engine = await openLlama({ slots: 4, contextTokens: 1_024 });
  });
  afterAll(() => engine.close());

  let asked = 0;
  const taskFor = async (
    question: string,
    rest: Partial<Task> & { thinks?: boolean } = {},
  ): Promise<Task> => {
    const { thinks = false, ...more } = rest;
    const messages = [{ role: "user", content: question }] as const;
    const prompt = await engine.encodeChat({ messages, thinking: thinks });
    return { prompt, delivered: [], outputTokensMax: 60, sampling: GREEDY, tag: `t${(asked += 1)}`, ...more };
  };
  const run = (task: Task): Promise<EngineEvent[]> =>
    collect(engine.generate(task, new AbortController().signal));
  const idsOf = async (task: Task): Promise<readonly number[]> =>
    tokensOf(await run(task)).map(({ id }) => id);

  test("an answer under a grammar is what the grammar allows, greedy and sampled alike", async ({
    expect,
  }) => {
    for (const sampling of [
      GREEDY,
      { temperature: 1.5, topP: 1, seed: 5 },
      { temperature: 1, topP: 0.5, seed: 6 },
    ]) {
      const events = await run(
        await taskFor("What is 20 + 30?", {
          grammar: { gbnf: JSON_GRAMMAR },
          sampling,
          outputTokensMax: 200,
        }),
      );
      expect(events.at(-1)).toEqual({ kind: "end", why: "stop" });
      expect(textOf(tokensOf(events))).toMatch(
        /^\{"sum":\d{1,6},"words":\["[a-z ]{1,6}"(,"[a-z ]{1,6}")*\]\}$/,
      );
    }
  });

  test("a grammar that begins behind thinking leaves the thinking free", async ({ expect }) => {
    const after = engine.info.think?.close ?? 0;
    const task = await taskFor("What is 12 + 35?", {
      thinks: true,
      grammar: { gbnf: JSON_GRAMMAR, after },
      outputTokensMax: 200,
    });
    const free = await taskFor("What is 12 + 35?", { thinks: true, outputTokensMax: 200 });
    const [bound, loose] = [tokensOf(await run(task)), tokensOf(await run(free))];
    const close = bound.findIndex(({ id }) => id === after);
    expect(close).toBeGreaterThan(5);
    expect(bound.slice(0, close + 1)).toEqual(loose.slice(0, close + 1));
    expect(() => JSON.parse(textOf(bound.slice(close + 1)))).not.toThrow();
  });

  test("cut anywhere, whatever binds or shapes it, an answer goes on as if it had not been cut", async ({
    expect,
    skip,
  }) => {
    // What was delivered is evaluated as a prompt, and a GPU's kernels for prompts round otherwise than those for tokens.
    skip(GPU !== false, "on a GPU the answer goes on, but not always with the same tokens");
    const after = engine.info.think?.close ?? 0;
    const wild = { temperature: 1.2, topP: 0.95, topK: 50, minP: 0.01, seed: 11 };
    const kinds: readonly [question: string, rest: Partial<Task> & { thinks?: boolean }][] = [
      ["Count from 1 to 30.", {}],
      ["What is 12 + 35?", { thinks: true, outputTokensMax: 50 }],
      ["What is 2 + 3?", { grammar: { gbnf: JSON_GRAMMAR } }],
      ["What is 2 + 3?", { grammar: { gbnf: JSON_GRAMMAR }, sampling: wild }],
      ["What is 12 + 35?", { thinks: true, grammar: { gbnf: JSON_GRAMMAR, after }, outputTokensMax: 80 }],
      ["Count from 1 to 30.", { sampling: { ...wild, presencePenalty: 0.5, frequencyPenalty: 0.3 } }],
      ["What is 12 + 35?", { thinks: true, thinkingTokensMax: 9 }],
    ];
    const tools = [{ name: "add", strict: false, schema: undefined }];
    const form: Form = { format: { kind: "text" }, tools, call: "must", parallel: false };
    const built = answerGrammar(form, engine.info.tools, undefined);
    if (!built.ok || built.grammar === undefined) throw new Error("the bundled model calls tools");
    const { grammar } = built;
    for (const [question, rest] of [...kinds, ["Call it.", { grammar }] as const]) {
      const task = await taskFor(question, rest);
      const whole = await idsOf(task);
      for (const share of [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95]) {
        const cut = Math.max(1, Math.floor(whole.length * share));
        const delivered = whole.slice(0, cut);
        const tag = `cut${(asked += 1)}`;
        const rests = await idsOf({ ...task, delivered, outputTokensMax: task.outputTokensMax - cut, tag });
        expect([...delivered, ...rests], `${question} cut at ${cut}`).toEqual(whole);
      }
    }
  });

  test("thinking is closed by force where it has had its share", async ({ expect }) => {
    const close = engine.info.think?.close;
    for (const thinkingTokensMax of [0, 3]) {
      const ids = await idsOf(await taskFor("What is 12 + 35?", { thinks: true, thinkingTokensMax }));
      expect(ids.indexOf(close ?? -1)).toBe(thinkingTokensMax);
    }
  });

  test("log probabilities are the model's own, whatever shapes the choice", async ({ expect }) => {
    const plain = tokensOf(await run(await taskFor("What is 2 + 3?", { logprobs: 5 })));
    for (const token of plain) {
      const { own, top } = token.logprobs ?? { own: 1, top: [] };
      expect(top).toHaveLength(5);
      expect(top[0]?.[0].id).toBe(token.id);
      expect(top[0]?.[1]).toBe(own);
      expect(top.reduce((sum, [, logprob]) => sum + Math.exp(logprob), 0)).toBeLessThanOrEqual(1.000_01);
      expect(top.map(([, logprob]) => logprob)).toEqual(
        top.map(([, logprob]) => logprob).toSorted((a, b) => b - a),
      );
    }
    const everything = tokensOf(
      await run(await taskFor("What is 2 + 3?", { logprobs: 256, outputTokensMax: 1 })),
    )[0];
    const mass = everything?.logprobs?.top.reduce((sum, [, logprob]) => sum + Math.exp(logprob), 0);
    expect(mass).toBeGreaterThan(0.99);
    // Another token by force: the same distribution, and that token's own place in it.
    const forced = plain[0]?.logprobs?.top[3]?.[0].id ?? 0;
    const logitBias = [[forced, 100]] as const;
    const biased = tokensOf(
      await run(
        await taskFor("What is 2 + 3?", {
          logprobs: 5,
          outputTokensMax: 1,
          sampling: { ...GREEDY, logitBias },
        }),
      ),
    )[0];
    expect(biased?.id).toBe(forced);
    expect(biased?.logprobs?.top).toEqual(plain[0]?.logprobs?.top);
    expect(biased?.logprobs?.own).toBe(plain[0]?.logprobs?.top[3]?.[1]);
  });

  test("a forbidden token does not come, nor one that a penalty has made too dear", async ({ expect }) => {
    const [first] = await idsOf(await taskFor("Count from 1 to 9."));
    const logitBias = [[first ?? 0, Number.NEGATIVE_INFINITY]] as const;
    expect(
      await idsOf(await taskFor("Count from 1 to 9.", { sampling: { ...GREEDY, logitBias } })),
    ).not.toContain(first);
    const sampling = { ...GREEDY, presencePenalty: 200 };
    const ids = await idsOf(await taskFor("Count from 1 to 9.", { sampling, outputTokensMax: 40 }));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("a text that is no grammar is refused, and the engine lives on", async ({ expect }) => {
    const task = await taskFor("What is 2 + 3?", { grammar: { gbnf: "root ::= nowhere" } });
    await expect(run(task)).rejects.toMatchObject({ kind: "unsupported" });
    expect((await run(await taskFor("What is 2 + 3?"))).at(-1)).toEqual({ kind: "end", why: "stop" });
  });
});
