/**
 * Answers bound to a form, made by the bundled model, which was trained on neither JSON schemas nor tools: whatever it
 * says is what the schema allows, or a call of a tool that was offered.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { beginAnswer, step, type Delta } from "../../../gpu-node/src/answer/reduce.ts";
import type { ToolMarks } from "../../../gpu-node/src/engines/engine.ts";
import type { LlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";
import { answerGrammar } from "../../../gpu-node/src/grammar/answer-grammar.ts";
import type { Form } from "../../../gpu-node/src/grammar/form.ts";
import { integersBetween } from "../../../gpu-node/src/grammar/ranges.ts";
import { collect, textOf, tokensOf } from "../engine-contract.ts";
import { openLlama } from "./weights-under-test.ts";

const FREE: Form = { format: { kind: "text" }, tools: [], call: "may", parallel: true };

/** Everything the strict form knows, in one. */
const RICH = {
  type: "object",
  properties: {
    kind: { enum: ["a", "b b", 'c"c', 7, null] },
    fixed: { const: 'it"s' },
    day: { type: "string", format: "date" },
    id: { type: "string", format: "uuid" },
    code: { type: "string", minLength: 2, maxLength: 4 },
    flags: { type: "array", items: { type: "boolean" }, minItems: 1, maxItems: 3 },
    either: { anyOf: [{ type: "integer" }, { type: "null" }] },
    size: { type: ["number", "string"] },
    month: { type: "integer", minimum: 1, maximum: 12 },
    shift: { type: "integer", exclusiveMinimum: -31, maximum: 205 },
    price: { type: "number", minimum: 0 },
    tree: { $ref: "#/$defs/tree" },
  },
  required: [
    "kind",
    "fixed",
    "day",
    "id",
    "code",
    "flags",
    "either",
    "size",
    "month",
    "shift",
    "price",
    "tree",
  ],
  additionalProperties: false,
  $defs: {
    tree: {
      type: "object",
      properties: {
        leaf: { type: "string", maxLength: 3 },
        children: { type: "array", items: { $ref: "#/$defs/tree" }, maxItems: 1 },
      },
      required: ["leaf", "children"],
      additionalProperties: false,
    },
  },
};

const schemaOf = (levels: number): fc.Arbitrary<object> => {
  const leaf = fc.constantFrom<object>(
    { type: "boolean" },
    { type: "integer" },
    { type: "null" },
    { type: "string", maxLength: 5 },
    { enum: ["x", "y z"] },
  );
  if (levels === 0) return leaf;
  const inner = schemaOf(levels - 1);
  return fc.oneof(
    leaf,
    inner.map((items) => ({ type: "array", items, maxItems: 2 })),
    fc
      .tuple(fc.dictionary(fc.constantFrom("a", "b", 'c"', "é", "e"), inner, { maxKeys: 4 }), fc.nat(15))
      .map(([properties, which]) => ({
        type: "object",
        properties,
        required: Object.keys(properties).filter((_, at) => (which & (1 << at)) !== 0),
        additionalProperties: false,
      })),
    fc.tuple(inner, inner).map((either) => ({ anyOf: either })),
  );
};

describe("bound to a form", () => {
  let engine: LlamaEngine;
  beforeAll(async () => {
    engine = await openLlama({ slots: 4, contextTokens: 2_048 });
  });
  afterAll(() => engine.close());

  const answer = async (form: Form, marks: ToolMarks | undefined, seed: number) => {
    const built = answerGrammar(form, marks, undefined);
    if (!built.ok || built.grammar === undefined) throw new Error(JSON.stringify(built));
    const prompt = await engine.encodeChat({
      messages: [{ role: "user", content: `What is 1 + ${seed}?` }],
      thinking: false,
    });
    const events = await collect(
      engine.generate(
        {
          prompt,
          delivered: [],
          outputTokensMax: 1_500,
          sampling: seed === 0 ? { temperature: 0, topP: 1 } : { temperature: 1.3, topP: 1, seed },
          tag: `s${seed}`,
          grammar: built.grammar,
        },
        new AbortController().signal,
      ),
    );
    return { tokens: tokensOf(events), ended: events.at(-1) };
  };

  test("a schema with everything in it", async () => {
    const form: Form = { ...FREE, format: { kind: "schema", schema: RICH, strict: true } };
    const validator = z.fromJSONSchema(RICH as never);
    for (const seed of [1, 2, 3, 4]) {
      const { tokens, ended } = await answer(form, undefined, seed);
      expect(ended).toEqual({ kind: "end", why: "stop" });
      const value: unknown = JSON.parse(textOf(tokens));
      expect(validator.safeParse(value).error).toBeUndefined();
    }
  });

  test("any schema", async () => {
    await fc.assert(
      fc.asyncProperty(schemaOf(3), fc.integer({ min: 1, max: 1_000 }), async (schema, seed) => {
        const form: Form = { ...FREE, format: { kind: "schema", schema, strict: false } };
        const { tokens, ended } = await answer(form, undefined, seed);
        expect(ended).toEqual({ kind: "end", why: "stop" });
        const value: unknown = JSON.parse(textOf(tokens));
        expect(z.fromJSONSchema(schema as never).safeParse(value).error).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });

  const TOOLS = [
    {
      name: "add",
      strict: true,
      schema: {
        type: "object",
        properties: { a: { type: "integer" }, b: { type: "string", maxLength: 6 } },
        required: ["a", "b"],
        additionalProperties: false,
      },
    },
    {
      name: "add_more",
      strict: true,
      schema: { type: "object", properties: {}, additionalProperties: false, required: [] },
    },
  ];

  test.each(["v3", "v3.1"] as const)("a call in any case, in %s's form", async (format) => {
    const { tools } = engine.info;
    if (tools === undefined || tools.format === "v3.2")
      throw new Error("the bundled model knows V3.1's tools");
    const marks: ToolMarks = { ...tools, format };
    for (const seed of [1, 2, 3]) {
      const { tokens, ended } = await answer(
        { ...FREE, tools: TOOLS, call: "must", parallel: false },
        marks,
        seed,
      );
      expect(ended).toEqual({ kind: "end", why: "stop" });
      const rules = {
        endTokens: new Set(engine.info.endTokens),
        think: engine.info.think,
        stops: [],
        tools: marks,
      };
      let state = beginAnswer(false);
      const deltas: Delta[] = [];
      for (const token of tokens) {
        const next = step(rules, state, token);
        state = next.state;
        deltas.push(...next.deltas);
      }
      expect(deltas.every(({ channel }) => channel === "tool")).toBe(true);
      const [begins] = deltas;
      const text = deltas.map((delta) => delta.text).join("");
      const name = begins?.channel === "tool" ? begins.name : undefined;
      const tool = TOOLS.find((one) => one.name === name);
      expect(z.fromJSONSchema(tool?.schema as never).safeParse(JSON.parse(text)).error).toBeUndefined();
    }
  });
});

describe("whole numbers between bounds", () => {
  /** GBNF's numbers use nothing that a regular expression would read differently. */
  const pattern = (body: string): RegExp =>
    new RegExp(`^(?:${body.replaceAll(/"([^"]*)"/g, "$1").replaceAll(" ", "")})$`);

  test("are exactly those", () => {
    const bound = fc.integer({ min: -1_200, max: 1_200 });
    fc.assert(
      fc.property(
        bound,
        bound,
        fc.array(fc.integer({ min: -1_500, max: 1_500 }), { minLength: 20 }),
        (a, b, tries) => {
          const [min, max] = [Math.min(a, b), Math.max(a, b)];
          const allowed = pattern(integersBetween(min, max) ?? "");
          for (const one of [...tries, min, max, min - 1, max + 1, 0])
            expect(allowed.test(String(one)), `${one} in [${min}, ${max}]`).toBe(one >= min && one <= max);
        },
      ),
    );
    expect(integersBetween(0.2, 0.8)).toBeUndefined();
  });
});

describe("a schema that cannot be bound is refused, with the place", () => {
  const strict = (schema: unknown): Form => ({ ...FREE, format: { kind: "schema", schema, strict: true } });
  const loose = (schema: unknown): Form => ({ ...FREE, format: { kind: "schema", schema, strict: false } });
  const deep = Array.from({ length: 80 }).reduce<object>((items) => ({ type: "array", items }), {
    type: "null",
  });
  const bounded = (count: number, maxLength = 9): object[] =>
    Array.from({ length: count }, () => ({ type: "string", maxLength }));
  const at = "response_format.json_schema.schema";
  const cases: readonly [what: string, form: Form, path: string][] = [
    ["an unknown type", loose({ type: "strnig" }), `${at}.type`],
    ["a reference to nowhere", loose({ $ref: "#/$defs/x" }), `${at}.$ref`],
    ["a reference to elsewhere", loose({ $ref: "https://example.com/s.json" }), `${at}.$ref`],
    ["itself alone", loose({ $ref: "#" }), `${at}.$ref`],
    [
      "itself as one of several",
      loose({ anyOf: [{ type: "null" }, { $ref: "#" }] }),
      `${at}.anyOf[1].anyOf[1].$ref`,
    ],
    [
      "itself by way of another, met inside an object first",
      loose({
        anyOf: [{ type: "object", properties: { b: { $ref: "#/$defs/b" } } }, { $ref: "#/$defs/b" }],
        $defs: { b: { anyOf: [{ type: "null" }, { $ref: "#" }] } },
      }),
      `${at}.anyOf[0].properties.b.anyOf[1].anyOf[1].$ref`,
    ],
    ["more bounds than can be kept", loose({ type: "array", maxItems: 100_000 }), `${at}.maxItems`],
    ["bounds the wrong way round", loose({ type: "string", minLength: 3, maxLength: 2 }), `${at}.maxLength`],
    ["required, and not there", loose({ type: "object", properties: {}, required: ["x"] }), `${at}.required`],
    ["endless depth", loose(deep), at + ".items".repeat(65)],
    [
      "strict, with an optional property",
      strict({
        type: "object",
        properties: { a: { type: "null" } },
        required: [],
        additionalProperties: false,
      }),
      `${at}.required`,
    ],
    [
      "strict, and open",
      strict({ type: "object", properties: {}, required: [] }),
      `${at}.additionalProperties`,
    ],
    ["strict, with a pattern", strict({ type: "string", pattern: "^a$" }), `${at}.pattern`],
    ["more alternatives than can be kept", loose({ anyOf: bounded(65) }), `${at}.anyOf`],
    [
      "as many, one in the other",
      loose({ anyOf: [{ anyOf: bounded(33) }, { anyOf: bounded(33) }] }),
      `${at}.anyOf`,
    ],
    [
      "bounds that add up to too much",
      loose({
        properties: Object.fromEntries(
          Array.from({ length: 21 }, (_, i) => [i, { type: "string", maxLength: 1_000 - i }]),
        ),
      }),
      at,
    ],
    [
      "strict, and bound by what is beside anyOf",
      strict({ anyOf: [{ type: "null" }], required: ["a"] }),
      `${at}.required`,
    ],
    [
      "strict, with a length beside a format",
      strict({ type: "string", format: "date", maxLength: 3 }),
      `${at}.maxLength`,
    ],
    [
      "strict, with a format that every object has",
      strict({ type: "string", format: "constructor" }),
      `${at}.format`,
    ],
    ["strict, with an unknown format", strict({ type: "string", format: "iri" }), `${at}.format`],
  ];
  test.each(cases)("%s", (_, form, path) => {
    expect(answerGrammar(form, undefined, undefined)).toMatchObject({ ok: false, path });
  });

  test("one that comes back to itself inside a list or an object is bound", () => {
    const tree = { anyOf: [{ type: "null" }, { type: "array", items: { $ref: "#" } }] };
    expect(answerGrammar(loose(tree), undefined, undefined)).toMatchObject({ ok: true });
    expect(answerGrammar(loose({ anyOf: bounded(64) }), undefined, undefined)).toMatchObject({ ok: true });
  });

  test("equal bounds count once, however often they are asked for", () => {
    const properties = (count: number): Form =>
      loose({ properties: Object.fromEntries(bounded(count, 1_000).entries()) });
    for (const count of [21, 200])
      expect(answerGrammar(properties(count), undefined, undefined)).toMatchObject({ ok: true });
  });

  test("a fraction as an exclusive bound leaves out no integer", () => {
    const built = answerGrammar(
      loose({ type: "integer", exclusiveMinimum: 1.5, exclusiveMaximum: 3.5 }),
      undefined,
      undefined,
    );
    expect(built).toMatchObject({ ok: true, grammar: { gbnf: expect.stringContaining("[2-3]") } });
  });

  test("a strict tool is named by its place", () => {
    const tools = [{ name: "f", strict: true, schema: { type: "object", properties: { a: { type: "x" } } } }];
    const marks: ToolMarks = { format: "v3.2", dsml: 5 };
    expect(answerGrammar({ ...FREE, tools }, marks, undefined)).toMatchObject({ ok: false });
    expect(answerGrammar({ ...FREE, tools }, marks, undefined)).toHaveProperty(
      "path",
      expect.stringMatching(/^tools\[0\]\.function\.parameters\./),
    );
  });

  test("a thousand random schemas never break it", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.boolean(), (schema, isStrict) => {
        const built = answerGrammar(
          { ...FREE, format: { kind: "schema", schema, strict: isStrict } },
          undefined,
          4,
        );
        expect(built.ok || built.path.startsWith("response_format")).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
