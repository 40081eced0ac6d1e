/**
 * What a call can ask of an engine beyond a plain answer, as tests: each runs for every engine that says it can do it
 * (`info.features`), and is skipped with that reason for those that say they cannot.
 */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { Engine, EngineEvent, Sampling, Task, Token } from "../../gpu-node/src/engines/engine.ts";
import { answerGrammar } from "../../gpu-node/src/grammar/answer-grammar.ts";
import type { Form } from "../../gpu-node/src/grammar/form.ts";
import { collect, textOf, tokensOf } from "./engine-contract.ts";

const GREEDY: Sampling = { temperature: 0, topP: 1 };
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 }, n: { type: "integer", minimum: 0, maximum: 99 } },
  required: ["city", "n"],
  additionalProperties: false,
};
const JSON_FORM: Form = {
  format: { kind: "schema", schema: SCHEMA, strict: true },
  tools: [],
  call: "may",
  parallel: true,
};
const LOGPROB_TOLERANCE = 1e-3;
/** A GPU has other kernels for a prompt's last token behind a cached prefix than for a prompt as a whole: 0.06 on an H100. */
const LOGPROB_TOLERANCE_GPU = 0.2;
const GPUS: readonly string[] = ["cuda", "vulkan", "metal"];

export function describeWhatCallsAsk(name: string, open: () => Promise<Engine>): void {
  describe(`what a call can ask of the ${name} engine`, () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await open();
    });
    afterAll(async () => {
      await engine.close();
    });

    const lacks = (feature: string): boolean => !engine.info.features.includes(feature);
    const taskFor = async (content: string, rest: Partial<Task> = {}, thinking = false): Promise<Task> => ({
      prompt: await engine.encodeChat({ messages: [{ role: "user", content }], thinking }),
      delivered: [],
      outputTokensMax: 120,
      sampling: GREEDY,
      tag: "asks",
      ...rest,
    });
    const run = (task: Task): Promise<EngineEvent[]> =>
      collect(engine.generate(task, new AbortController().signal));
    const idsOf = (tokens: readonly Token[]): number[] => tokens.map(({ id }) => id);

    /** What binds an answer in this form, behind thinking where there is any. */
    const grammarOf = (form: Form, thinking = false): NonNullable<Task["grammar"]> => {
      const { tools, think } = engine.info;
      const built = answerGrammar(form, tools, thinking ? think?.close : undefined);
      if (!built.ok || built.grammar === undefined) throw new Error("no grammar");
      return built.grammar;
    };

    test("an answer in a form is in that form, and continues in it wherever it was cut", async ({
      expect,
      skip,
    }) => {
      skip(lacks("json"), "this engine says that it cannot");
      const task = await taskFor("Where?", { grammar: grammarOf(JSON_FORM) });
      const events = await run(task);
      expect(events.at(-1)).toEqual({ kind: "end", why: "stop" });
      const tokens = tokensOf(events);
      expect(JSON.parse(textOf(tokens))).toMatchObject({ city: expect.any(String), n: expect.any(Number) });
      const whole = idsOf(tokens);
      const wholeCharacters = [1, Math.floor(whole.length / 2), whole.length - 1].filter(
        (cut) => !textOf(tokens.slice(0, cut)).includes("\u{fffd}"),
      );
      expect(wholeCharacters.length).toBeGreaterThan(1);
      for (const cut of wholeCharacters) {
        const rest = tokensOf(await run({ ...task, delivered: whole.slice(0, cut), tag: `asks-${cut}` }));
        expect(idsOf(rest)).toEqual(whole.slice(cut));
      }
    });

    test("a call of a tool that must come comes, with arguments of its schema", async ({ expect, skip }) => {
      skip(lacks("json") || lacks("tools"), "this engine says that it cannot");
      const { tools } = engine.info;
      if (tools === undefined || tools.format === "v3.2") throw new Error("these engines know V3.1's form");
      const form: Form = {
        format: { kind: "text" },
        tools: [{ name: "look_up", strict: true, schema: SCHEMA }],
        call: "must",
        parallel: false,
      };
      const tokens = tokensOf(await run(await taskFor("Where?", { grammar: grammarOf(form) })));
      const ids = idsOf(tokens);
      const between = (from: number, to: number): string =>
        textOf(tokens.slice(ids.indexOf(from) + 1, ids.indexOf(to)));
      expect(ids[0]).toBe(tools.callsBegin);
      expect(between(tools.callBegin, tools.sep)).toBe("look_up");
      expect(Object.keys(JSON.parse(between(tools.sep, tools.callEnd)) as object)).toEqual(["city", "n"]);
      expect(engine.info.endTokens).toContain(ids.at(-1));
    });

    test("thinking that has had its share is closed, and a form binds what comes behind it", async ({
      expect,
      skip,
    }) => {
      skip(lacks("thinking_budget"), "this engine says that it cannot");
      const close = engine.info.think?.close;
      const rest = lacks("json") ? {} : { grammar: grammarOf(JSON_FORM, true) };
      const task = await taskFor("What is 17 + 25?", { thinkingTokensMax: 6, ...rest }, true);
      const tokens = tokensOf(await run(task));
      const ids = idsOf(tokens);
      expect(ids.indexOf(close ?? -1)).toBe(6);
      expect(ids.filter((id) => id === close)).toHaveLength(1);
      if (!lacks("json")) expect(JSON.parse(textOf(tokens.slice(7)))).toHaveProperty("city");
      const more = idsOf(tokensOf(await run({ ...task, delivered: ids.slice(0, 3), tag: "asks-think" })));
      expect(more).toEqual(ids.slice(3));
    });

    test("thinking that ends by itself is not closed again", async ({ expect, skip }) => {
      skip(lacks("thinking_budget"), "this engine says that it cannot");
      const free = await taskFor("What is 2 + 3?", { outputTokensMax: 60 }, true);
      const whole = idsOf(tokensOf(await run(free)));
      expect(idsOf(tokensOf(await run({ ...free, thinkingTokensMax: 400 })))).toEqual(whole);
    });

    test("log probabilities are the model's own, whatever the dice and the bias are", async ({
      expect,
      skip,
    }) => {
      skip(lacks("logprobs"), "this engine says that it cannot");
      const first = async (sampling: Sampling): Promise<Token | undefined> => {
        const task = await taskFor("Count from 1 to 9.", { logprobs: 3, outputTokensMax: 1, sampling });
        return tokensOf(await run(task))[0];
      };
      const greedy = await first(GREEDY);
      const top = greedy?.logprobs?.top ?? [];
      expect(top).toHaveLength(3);
      expect(greedy?.id).toBe(top[0]?.[0].id);
      expect(greedy?.logprobs?.own).toBe(top[0]?.[1]);
      const forbidden = top[0]?.[0].id ?? 0;
      const other = await first({
        temperature: 0.3,
        topP: 1,
        logitBias: [[forbidden, Number.NEGATIVE_INFINITY]],
      });
      expect(other?.id).not.toBe(forbidden);
      expect(other?.logprobs?.top.map(([{ id }]) => id)).toEqual(top.map(([{ id }]) => id));
      const tolerance = GPUS.includes(engine.info.backend) ? LOGPROB_TOLERANCE_GPU : LOGPROB_TOLERANCE;
      for (const [at, [, logprob]] of (other?.logprobs?.top ?? []).entries())
        expect(Math.abs(logprob - (top[at]?.[1] ?? 0))).toBeLessThan(tolerance);
    });

    test("a seed gives the same answer again, and another seed another", async ({ expect, skip }) => {
      skip(lacks("seeded") && lacks("seed"), "this engine says that it cannot");
      const draw = async (seed: number): Promise<number[]> => {
        const sampling: Sampling = { temperature: 1.8, topP: 1, seed };
        return idsOf(tokensOf(await run(await taskFor("Say anything.", { sampling, outputTokensMax: 40 }))));
      };
      const one = await draw(7);
      expect(await draw(7)).toEqual(one);
      const others = await Promise.all([8, 9, 10].map(draw));
      expect(others.some((ids) => ids.join() !== one.join())).toBe(true);
    });
  });
}
