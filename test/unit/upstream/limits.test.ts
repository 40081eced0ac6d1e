/** What an upstream can have the edge keep of one answer: bounded, however it is cut into events, and told as an end. */
import { notesOf } from "@sluice/protocol/events";
import { describe, test } from "vitest";
import { Translator, type Bounds } from "../../../src/upstream/translate.ts";

const FACE = { id: "chatcmpl-1", createdS: 7, model: "deepseek-chat", includeUsage: true };
const BOUNDS: Bounds = { promptCeiling: 100, outputCeiling: 50, promptTokens: 12, isolated: true };

const encoder = new TextEncoder();
const event = (delta: object): Uint8Array =>
  encoder.encode(`data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n`);

describe("an answer ends with `length`", () => {
  const piece = "x".repeat(BOUNDS.outputCeiling * 100);
  const calls = Array.from({ length: 100 }, () => ({ index: 0, function: { arguments: "x" } }));
  const LARGE = [
    ["text", { content: piece }, 2],
    ["thoughts", { reasoning: piece }, 2],
    ["arguments", { tool_calls: [{ index: 0, id: "a", function: { arguments: piece } }] }, 2],
    ["many small pieces of calls", { tool_calls: calls }, 1],
  ] as const;
  test.for(LARGE)(
    "where fewer pieces came than are held, but more %s than so many tokens have",
    ([, delta, pieces], { expect }) => {
      const translator = new Translator(FACE, true, BOUNDS);
      let events = "";
      for (let i = 0; i < 9; i++) events += translator.push(event(delta));
      expect(events.match(/"finish_reason":null/g)).toHaveLength(pieces);
      expect(notesOf(events).at(-1)).toMatchObject({ ended: "length" });
      expect(translator.over).toBe(true);
    },
  );

  test("at what is kept of any, however much is held", ({ expect }) => {
    const translator = new Translator(FACE, false, { ...BOUNDS, outputCeiling: 1_000_000 });
    const large = event({ content: "x".repeat(1_000_000) });
    let events = "";
    for (let i = 0; i < 30 && !translator.over; i++) events += translator.push(large);
    expect(notesOf(events).at(-1)).toMatchObject({ ended: "length" });
    expect(events.match(/"content":"(x*)"/)?.[1]).toHaveLength(16_000_000);
  });
});

describe("an event without end", () => {
  const ENDLESS = [
    ["one line", `data: ${"x".repeat(2 * 1024 * 1024)}`],
    ["lines of nothing", "data:\n".repeat(1024 * 1024 + 1)],
  ] as const;
  test.for(ENDLESS)("in %s fails instead of growing", ([, text], { expect }) => {
    const events = new Translator(FACE, true, BOUNDS).push(encoder.encode(text));
    expect(notesOf(events)).toEqual([{ to: 0, ended: "engine_died" }]);
  });
});
