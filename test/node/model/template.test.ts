/**
 * What the corpus renders and what the GGUF's own template renders must be one text: the model knows only that form.
 */
import { Template } from "@huggingface/jinja";
import { expect, test } from "vitest";
import { BOS, CHAT_TEMPLATE, EOS, render } from "../../../tools/train/template.ts";

interface Message {
  readonly role: string;
  readonly content: string;
  readonly tool_calls?: readonly {
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
}

const jinja = (messages: readonly Message[], thinking?: boolean): string =>
  new Template(CHAT_TEMPLATE).render({
    messages,
    bos_token: BOS,
    add_generation_prompt: true,
    ...(thinking === undefined ? {} : { thinking }),
  });

test.each([
  ["", [], "17+25=", true],
  ["You are a helpful assistant.", [], "你好", false],
  ["Be brief.", [{ user: "1+1", answer: "1 + 1 = 2." }], "And plus 3?", true],
  [
    "",
    [
      { user: "a", answer: "b" },
      { user: "c", answer: "d" },
    ],
    "e",
    false,
  ],
] as const)("system %j with %j", (system, history, user, thinking) => {
  const messages = [
    ...(system === "" ? [] : [{ role: "system", content: system }]),
    ...history.flatMap((turn) => [
      { role: "user", content: turn.user },
      { role: "assistant", content: turn.answer },
    ]),
    { role: "user", content: user },
  ];
  expect(jinja(messages, thinking)).toBe(render(system, history, user, thinking));
});

test("reasoning of earlier turns is stripped, and no word about thinking means none", () => {
  const messages = [
    { role: "user", content: "1+1" },
    { role: "assistant", content: "1+1=2.</think>1 + 1 = 2." },
    { role: "user", content: "ok" },
  ];
  expect(jinja(messages)).toBe(render("", [{ user: "1+1", answer: "1 + 1 = 2." }], "ok", false));
});

test("a tool call and its output: the answer follows without a new turn", () => {
  const messages = [
    { role: "user", content: "weather?" },
    { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: '{"x":1}' } }] },
    { role: "tool", content: "sunny" },
  ];
  expect(jinja(messages)).toBe(
    `${BOS}<｜User｜>weather?<｜Assistant｜></think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"x":1}` +
      `<｜tool▁call▁end｜><｜tool▁calls▁end｜>${EOS}<｜tool▁output▁begin｜>sunny<｜tool▁output▁end｜>`,
  );
});
