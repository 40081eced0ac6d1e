/** What a client gets to hear of a malformed chat completion, and what the edge takes from a good one. */
import { expect, test } from "vitest";
import { FaultError } from "../../../src/core/fault.ts";
import { firstPromptCeiling } from "../../../src/wire/call.ts";
import { parseOpenAiChat } from "../../../src/wire/openai-chat.ts";

const encoder = new TextEncoder();
const good = { model: "deepseek-chat", messages: [{ role: "user", content: "hi" }] };

function parse(body: unknown): ReturnType<typeof parseOpenAiChat> {
  return parseOpenAiChat(encoder.encode(typeof body === "string" ? body : JSON.stringify(body)));
}

function faultOf(body: unknown): { message: string; param: string | null } {
  try {
    parse(body);
  } catch (error) {
    if (error instanceof FaultError && error.fault.kind === "invalid_request") return error.fault;
    throw error;
  }
  throw new Error("the body was taken");
}

test.each([
  ["an empty body", "", null],
  ["a body that is not JSON", "{oops", null],
  ["a body that is a list", "[]", null],
  ["a body that is a number", "7", null],
  ["no model", { messages: good.messages }, "model"],
  ["a model that is a number", { ...good, model: 4 }, "model"],
  ["no messages", { model: "m" }, "messages"],
  ["no message in messages", { ...good, messages: [] }, "messages"],
  ["a role nobody has", { ...good, messages: [{ role: "wizard", content: "x" }] }, "messages[0].role"],
  [
    "a second message whose content is a number",
    { ...good, messages: [good.messages[0], { role: "user", content: 7 }] },
    "messages[1].content",
  ],
  ["messages that are no list", { ...good, messages: { 0: good.messages[0] } }, "messages"],
  ["a message that is text", { ...good, messages: ["hi"] }, "messages[0]"],
  ["a message that is nothing", { ...good, messages: [null] }, "messages[0]"],
  ["a message without a role", { ...good, messages: [{ content: "x" }] }, "messages[0].role"],
  [
    "content that is an object",
    { ...good, messages: [{ role: "user", content: { type: "text" } }] },
    "messages[0].content",
  ],
  [
    "more messages than a conversation has",
    { ...good, messages: Array.from({ length: 4_097 }, () => good.messages[0]) },
    "messages",
  ],
  ["good messages and no model", { messages: good.messages, stream: "yes" }, "model"],
  ["stream as text", { ...good, stream: "yes" }, "stream"],
  ["max_tokens zero", { ...good, max_tokens: 0 }, "max_tokens"],
  ["max_tokens negative", { ...good, max_tokens: -5 }, "max_tokens"],
  ["max_tokens a fraction", { ...good, max_tokens: 1.5 }, "max_tokens"],
  ["temperature too hot", { ...good, temperature: 3 }, "temperature"],
  ["top_p above one", { ...good, top_p: 1.1 }, "top_p"],
  ["seventeen stop strings", { ...good, stop: Array.from({ length: 17 }, () => "x") }, "stop"],
  ["thinking of an unknown type", { ...good, thinking: { type: "maybe" } }, "thinking.type"],
  ["a user_id with a space", { ...good, user_id: "a b" }, "user_id"],
])("%s is refused, and the field is named", (_, body, param) => {
  expect(faultOf(body).param).toBe(param);
});

test("a part of a content that has no type is refused, and its message is named", () => {
  const messages = [
    good.messages[0],
    { role: "user", content: [{ type: "text", text: "a" }, { text: "b" }] },
  ];
  expect(faultOf({ ...good, messages }).param).toMatch(/^messages\[1\]\.content/);
});

test("content may be text, parts, null or missing, in every role", () => {
  const contents = ["", "hi", [], [{ type: "text", text: "a" }], null, undefined];
  const roles = ["system", "developer", "user", "assistant", "tool", "function"];
  const messages = roles.flatMap((role) => contents.map((content) => ({ role, content, name: 7 })));
  expect(parse({ ...good, messages }).messages).toBe(36);
});

test("bytes that are not UTF-8 are refused as such", () => {
  expect(() => parseOpenAiChat(new Uint8Array([0xff, 0xfe]))).toThrow(FaultError);
});

test("null stands for a field that was not set, and unknown fields pass", () => {
  const call = parse({ ...good, temperature: null, stop: null, max_tokens: null, novelty: { a: 1 } });
  expect(call).toMatchObject({
    modelAs: "deepseek-chat",
    stream: false,
    outputAsked: null,
    messages: 1,
    userId: undefined,
  });
});

test("max_completion_tokens wins over max_tokens", () => {
  expect(parse({ ...good, max_tokens: 5, max_completion_tokens: 7 }).outputAsked).toBe(7);
});

test("the body goes on byte for byte, spacing and unknown fields included", () => {
  const text = `{ "model":"m" , "messages":[{"role":"user","content":"\\u00e9"}], "x": 1e2 }`;
  expect(new TextDecoder().decode(parse(text).body)).toBe(text);
});

test("the first prompt ceiling is a third of the bytes and 64 per message", () => {
  const call = parse({ ...good, messages: [good.messages[0], good.messages[0]] });
  expect(firstPromptCeiling(call)).toBe(Math.ceil(call.body.length / 3) + 128);
});
