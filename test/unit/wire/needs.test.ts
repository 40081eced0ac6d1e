/** What a call needs of an engine, by the field that asks for it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { needsOf } from "../../../src/wire/needs.ts";

const user = { role: "user", content: "hi" };
const tools = [{ type: "function", function: { name: "f" } }];

test.each<[string, object, readonly [feature: string, param: string][]]>([
  ["nothing", { messages: [user], temperature: 0, n: 1, logprobs: false, tools: [], logit_bias: {} }, []],
  ["tools", { messages: [user], tools }, [["tools", "tools"]]],
  ["tools that are not to be used", { messages: [user], tools, tool_choice: "none" }, []],
  [
    "a call of a tool in any case",
    { tools, tool_choice: "required" },
    [
      ["tools", "tools"],
      ["json", "tool_choice"],
    ],
  ],
  [
    "a call of one tool",
    { tools, tool_choice: { type: "function", function: { name: "f" } } },
    [
      ["tools", "tools"],
      ["json", "tool_choice"],
    ],
  ],
  ["a tool's result", { messages: [user, { role: "tool", content: "1" }] }, [["tools", "messages[1]"]]],
  ["JSON", { response_format: { type: "json_schema", json_schema: {} } }, [["json", "response_format"]]],
  ["text, said outright", { response_format: { type: "text" } }, []],
  ["log probabilities of a chat", { logprobs: true }, [["logprobs", "logprobs"]]],
  ["log probabilities of a completion", { logprobs: 0 }, [["logprobs", "logprobs"]]],
  ["a bias", { logit_bias: { "5": 1 } }, [["logit_bias", "logit_bias"]]],
  ["a penalty", { presence_penalty: -1, frequency_penalty: 0 }, [["penalties", "presence_penalty"]]],
  ["several answers", { n: 2 }, [["n", "n"]]],
  [
    "a budget",
    { thinking: { type: "enabled", budget_tokens: 0 } },
    [
      ["thinking_budget", "thinking.budget_tokens"],
      ["thinking_on", "thinking"],
    ],
  ],
  [
    "a given beginning",
    { messages: [user, { role: "assistant", content: "x", prefix: true }] },
    [["prefix", "messages[1].prefix"]],
  ],
  [
    "a choice among the likeliest",
    { top_k: 40, min_p: 0.1 },
    [
      ["top_k", "top_k"],
      ["min_p", "min_p"],
    ],
  ],
  ["every token, said outright", { top_k: 0, min_p: 0 }, []],
  ["thinking", { thinking: { type: "enabled" } }, [["thinking_on", "thinking"]]],
  ["no thinking", { thinking: { type: "disabled" } }, [["thinking_off", "thinking"]]],
  ["an effort", { reasoning_effort: "high" }, [["thinking_on", "reasoning_effort"]]],
  ["no effort", { reasoning_effort: "none" }, [["thinking_off", "reasoning_effort"]]],
])("%s", (_, body, needs) => {
  expect(needsOf(body).map(({ feature, param }) => [feature, param])).toEqual(needs);
});

test("whatever a body is, reading it never fails", () => {
  const keys = fc.constantFrom(
    "tools",
    "tool_choice",
    "messages",
    "response_format",
    "logprobs",
    "logit_bias",
    "n",
    "thinking",
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.dictionary(keys, fc.jsonValue())), (body) => {
      expect(Array.isArray(needsOf(body))).toBe(true);
    }),
  );
});
