/** One cached answer for all spellings of a question, and never one for two questions. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { elementsOf, membersOf } from "../../../src/wire/json-members.ts";
import { canonicalChat } from "../../../src/wire/openai-canonical.ts";

const meant = { model: "tiny", thinkingDefault: true };
const hi = [{ role: "user", content: "hi" }];

function canonical(body: unknown, how = meant): string | undefined {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return canonicalChat(new TextEncoder().encode(text), how);
}

function same(a: unknown, b: unknown): void {
  expect(canonical(a)).toBeDefined();
  expect(canonical(a)).toBe(canonical(b));
}

function differ(a: unknown, b: unknown): void {
  expect(canonical(a)).not.toBe(canonical(b));
}

const base = { model: "tiny", messages: hi, temperature: 0 };

describe("the same question", () => {
  test.each([
    ["in another order", '{"temperature":0,"messages":[{"content":"hi","role":"user"}],"model":"tiny"}'],
    [
      "with blanks",
      '{ "model" : "tiny",\n "messages" : [ { "role" : "user" , "content" : "hi" } ], "temperature": 0.0}',
    ],
    [
      "with letters escaped",
      '{"model":"tiny","messages":[{"role":"user","content":"\\u0068i"}],"temperature":-0}',
    ],
    ["under an alias", { ...base, model: "other" }],
    ["as a stream, with its usage", { ...base, stream: true, stream_options: { include_usage: true } }],
    ["asked by a user, with metadata", { ...base, user: "u", metadata: { a: "b" }, user_id: "x" }],
    [
      "with its defaults written out",
      { ...base, top_p: 1, n: 1, presence_penalty: 0, frequency_penalty: 0.0 },
    ],
    ["with null for what is not set", { ...base, stop: null, seed: null, tools: null, max_tokens: null }],
    ["with no stops and plain text asked for", { ...base, stop: [], response_format: { type: "text" } }],
    ["with null in a message", { ...base, messages: [{ role: "user", content: "hi", name: null }] }],
    ["with the model's own thinking said aloud", { ...base, thinking: { type: "enabled" } }],
  ])("%s", (_, body) => same(base, body));

  test("max_tokens is max_completion_tokens, and one stop is a list of one", () => {
    same({ ...base, max_tokens: 5 }, { ...base, max_completion_tokens: 5 });
    same({ ...base, max_tokens: 7, max_completion_tokens: 5 }, { ...base, max_tokens: 5 });
    same({ ...base, stop: "a" }, { ...base, stop: ["a", ""] });
  });
});

describe("every field that changes an answer makes another question", () => {
  const parameters = { type: "object", properties: { a: { type: "string" } } };
  const tool = { type: "function", function: { name: "f", parameters } };
  const fields: readonly (readonly [field: string, value: unknown, other: unknown])[] = [
    ["top_k", 5, 6],
    ["min_p", 0.1, 0.2],
    ["seed", 1, 2],
    ["frequency_penalty", 1, 2],
    ["presence_penalty", 1, 2],
    ["logit_bias", { "5": 1 }, { "5": 2 }],
    ["stop", "a", "b"],
    ["n", 2, 3],
    ["logprobs", true, false],
    ["top_logprobs", 1, 2],
    ["reasoning_effort", "low", "minimal"],
    ["thinking", { type: "enabled", budget_tokens: 5 }, { type: "enabled", budget_tokens: 6 }],
    [
      "response_format",
      { type: "json_object" },
      { type: "json_schema", json_schema: { name: "a", schema: parameters } },
    ],
    ["tools", [tool], [{ ...tool, function: { ...tool.function, strict: true } }]],
    ["tool_choice", "auto", "required"],
    ["parallel_tool_calls", true, false],
    [
      "messages",
      [...hi, { role: "assistant", content: "so", prefix: true }],
      [...hi, { role: "assistant", content: "so" }],
    ],
    [
      "messages",
      [...hi, { role: "assistant", content: "", prefix: true, reasoning_content: "a" }],
      [...hi, { role: "assistant", content: "", prefix: true, reasoning_content: "b" }],
    ],
  ];
  test.each(fields)("%s", (field, value, other) => {
    differ({ ...base, [field]: value }, base);
    differ({ ...base, [field]: value }, { ...base, [field]: other });
  });
});

describe("another question", () => {
  const schema = (text: string): string =>
    `{"model":"tiny","messages":[{"role":"user","content":"hi"}],"temperature":0,"tools":[{"type":"function","function":{"name":"f","parameters":${text}}}]}`;

  test.each([
    ["another word", { ...base, messages: [{ role: "user", content: "ho" }] }],
    ["another role", { ...base, messages: [{ role: "system", content: "hi" }] }],
    ["one message more", { ...base, messages: [...hi, ...hi] }],
    ["a name in the message", { ...base, messages: [{ role: "user", content: "hi", name: "x" }] }],
    ["the text as parts", { ...base, messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }] }],
    ["a seed", { ...base, seed: 1 }],
    ["another temperature", { ...base, temperature: 0.1 }],
    ["a ceiling", { ...base, max_tokens: 5 }],
    ["a stop", { ...base, stop: "a" }],
    ["a field nobody knows", { ...base, wizardry: null }],
    ["a message field nobody knows", { ...base, messages: [{ role: "user", content: "hi", mood: null }] }],
    ["thinking turned off", { ...base, thinking: { type: "disabled" } }],
    ["an option of thinking nobody knows", { ...base, thinking: { type: "enabled", budget: 1 } }],
    ["an effort", { ...base, reasoning_effort: "low" }],
    ["a stream option nobody knows", { ...base, stream_options: { include_usage: true, chunk: 1 } }],
  ])("%s", (_, body) => differ(base, body));

  test("the order of keys in a schema is part of the prompt, like the spelling of its numbers", () => {
    differ(schema('{"a":1,"b":2}'), schema('{"b":2,"a":1}'));
    // A parser puts these two in the same order.
    differ(schema('{"2":1,"1":2}'), schema('{"1":2,"2":1}'));
    differ(schema('{"a":1}'), schema('{"a":1.0}'));
    same(schema('{"a":1}'), schema('{"a":1}').replace('"temperature":0', '"temperature":0.0'));
  });

  test("the same name may mean another model, or another default of thinking", () => {
    expect(canonical(base)).not.toBe(canonical(base, { ...meant, model: "large" }));
    expect(canonical(base)).not.toBe(canonical(base, { ...meant, thinkingDefault: false }));
  });

  test("a key that stands there twice means different things to different readers: no canonical form", () => {
    expect(canonical('{"model":"a","model":"b","messages":[]}')).toBeUndefined();
    expect(
      canonical('{"model":"a","messages":[{"role":"user","content":"x","content":"y"}]}'),
    ).toBeUndefined();
  });
});

/** What a node makes its prompt from, and how it samples: read independently of the code under test. */
function promptOf(text: string): unknown {
  const body = JSON.parse(text) as Record<string, unknown>;
  const messages = (body["messages"] as Record<string, unknown>[]).map((message) => ({
    role: message["role"],
    content: message["content"] ?? null,
    name: message["name"] ?? null,
  }));
  const at = text.indexOf('"tools":');
  return {
    messages,
    tools:
      body["tools"] === undefined || body["tools"] === null ? null : text.slice(at, text.indexOf("]", at)),
    temperature: body["temperature"] ?? 1,
    seed: body["seed"] ?? null,
    stop: [body["stop"] ?? []].flat(),
    max: body["max_completion_tokens"] ?? body["max_tokens"] ?? null,
    extra: body["extra"] === undefined ? "absent" : JSON.stringify(body["extra"]),
  };
}

const word = fc.oneof(
  fc.constantFrom("a", "b", '"', "\\", '\\"', "}", "{", ",", "null", "1", "=1", "é", "\u2028", "\ud800"),
  fc.string({ maxLength: 3 }),
);
const message = fc.record(
  {
    role: fc.constantFrom("user", "system"),
    content: fc.oneof(word, fc.constant(null)),
    name: fc.oneof(word, fc.constant(null)),
  },
  { requiredKeys: ["role"] },
);
const chat = fc.record(
  {
    messages: fc.array(message, { minLength: 1, maxLength: 2 }),
    temperature: fc.constantFrom(0, 1, 0.5, null),
    seed: fc.constantFrom(1, 2, null),
    stop: fc.oneof(fc.constantFrom(null, "a", "b"), fc.array(fc.constantFrom("a", "b"), { maxLength: 2 })),
    max_tokens: fc.constantFrom(1, 2, null),
    max_completion_tokens: fc.constantFrom(1, 2, null),
    tools: fc.constantFrom(null, [{ a: 1, b: 2 }], [{ b: 2, a: 1 }]),
    stream: fc.boolean(),
    user: word,
    extra: fc.oneof(word, fc.constantFrom(null, 0, 1)),
  },
  { requiredKeys: ["messages"] },
);

/** Compared by their bytes. */
const VERBATIM = new Set(["tools", "extra"]);

/** The same value, written in another way: keys turned around, blanks, escapes; what is verbatim stays. */
function respell(value: unknown, path: string): string {
  if (VERBATIM.has(path)) return JSON.stringify(value);
  if (Array.isArray(value)) return ` [ ${value.map((one) => respell(one, path)).join(" , ")} ]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).toReversed();
    return `{ ${members.map(([key, of]) => `${JSON.stringify(key)} :${respell(of, key)}`).join(" ,\n")} }`;
  }
  const text = JSON.stringify(value);
  return typeof value === "string" ? text.replaceAll("a", "\\u0061") : text;
}

test("property: equal canonical texts are equal prompts, sampled in the same way", () => {
  fc.assert(
    fc.property(chat, chat, (a, b) => {
      const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
      if (canonical(left) === canonical(right)) expect(promptOf(left)).toEqual(promptOf(right));
    }),
    { numRuns: 3_000, seed: 20261123 },
  );
});

test("property: one small change of a prompt is another canonical text", () => {
  fc.assert(
    fc.property(chat, word, word, (body, content, other) => {
      fc.pre(content !== other);
      const ask = (text: string) => ({
        ...body,
        messages: [...body.messages, { role: "user", content: text }],
      });
      expect(canonical(ask(content))).not.toBe(canonical(ask(other)));
    }),
    { numRuns: 1_000, seed: 20261123 },
  );
});

test("property: another spelling of the same body is the same canonical text", () => {
  fc.assert(
    fc.property(chat, (body) => {
      expect(canonical(respell(body, ""))).toBe(canonical(body));
    }),
    { numRuns: 1_000, seed: 20261123 },
  );
});

test("property: members and elements are the slices a parser would have read", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.jsonValue()), (object, array) => {
      const members = membersOf(JSON.stringify(object, null, 1)) ?? [];
      const rebuilt = members.map(({ key, raw }): [string, unknown] => [key, JSON.parse(raw)]);
      expect(rebuilt).toEqual(Object.entries(JSON.parse(JSON.stringify(object)) as object));
      const elements = elementsOf(JSON.stringify(array, null, 1)) ?? [];
      expect(elements.map((raw): unknown => JSON.parse(raw))).toEqual(JSON.parse(JSON.stringify(array)));
    }),
    { numRuns: 500, seed: 20261123 },
  );
});
