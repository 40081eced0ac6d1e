/** What a node says of the prompts it has cached, and when it says it. */
import { charsHeld, marksOf, readSketch, trailOf, type PromptSource } from "@sluice/protocol/sketch";
import { describe, test } from "vitest";
import { joinSketches, SketchBook } from "../../../gpu-node/src/beat/sketch-book.ts";
import { SketchTiming } from "../../../gpu-node/src/beat/sketch-timing.ts";
import { useNode } from "./support/node.ts";

const source = (messages: readonly { role: string; content: string }[]): PromptSource => ({
  model: "script",
  thinkingDefault: false,
  body: { messages },
});
const system = { role: "system", content: "You are a careful clerk. ".repeat(40) };
const user = (content: string): { role: string; content: string } => ({ role: "user", content });
const held = (book: SketchBook, prompt: PromptSource, tag: string): number => {
  const marks = marksOf(trailOf(prompt), tag);
  return charsHeld(marks, readSketch(joinSketches([book]))) / marks.charsTotal;
};

describe("the book of cached prompts", () => {
  test("knows a prompt and the beginning it shares with others, under its tag alone", ({ expect }) => {
    const book = new SketchBook(() => 4);
    const prompt = source([system, user("one")]);
    book.note(trailOf(prompt), "a", 300);
    expect(held(book, prompt, "a")).toBe(1);
    expect(held(book, source([system, user("two")]), "a")).toBeGreaterThan(0.9);
    expect(held(book, prompt, "b")).toBe(0);
    expect(joinSketches([book]).charsPerToken).toBeCloseTo(trailOf(prompt).charsTotal / 300, 5);
  });

  test("keeps as many prompts as there are slots; the next turn of a conversation takes the place of the last", ({
    expect,
  }) => {
    const book = new SketchBook(() => 2);
    const turns = [system, user("one"), { role: "assistant", content: "1" }, user("two")];
    const other = source([user("Something else altogether. ".repeat(30))]);
    book.note(trailOf(other), "a", 100);
    book.note(trailOf(source(turns.slice(0, 2))), "a", 300);
    book.note(trailOf(source(turns)), "a", 320);
    expect(held(book, other, "a")).toBe(1);
    book.note(trailOf(source([user("A third. ".repeat(50))])), "a", 90);
    expect(held(book, other, "a")).toBe(0);
    expect(held(book, source(turns), "a")).toBe(1);
    book.clear();
    expect(readSketch(joinSketches([book]))).toHaveLength(0);
  });
});

test("a sketch is said when it has changed, at most once a second, and again where nobody heard it", ({
  expect,
}) => {
  const timing = new SketchTiming();
  expect(timing.due(0, 0)).toBe(false);
  expect(timing.due(1, 0)).toBe(true);
  expect(timing.due(1, 500)).toBe(false);
  expect(timing.due(1, 1_000)).toBe(true);
  timing.answered();
  expect(timing.due(1, 5_000)).toBe(false);
  expect(timing.due(2, 5_000)).toBe(true);
  timing.answered();
  // An edge that has lost its memory asks for it, changed or not.
  timing.answered(true);
  expect(timing.due(2, 9_000)).toBe(true);
  timing.answered();
  expect(timing.due(2, 19_000)).toBe(false);
});

test("a node's beats tell an edge what of a prompt is cached there", async ({ expect }) => {
  const { edge, url } = await useNode();
  const head = edge.head();
  const messages = [system, user("say ok")];
  await (await edge.call(url, { body: { model: "any", messages, stream: true }, head })).text();
  await edge.until(() => edge.beats.some(({ sketch }) => sketch !== undefined), "a beat with a sketch");
  const sketch = edge.beats.find((beat) => beat.sketch !== undefined)?.sketch;
  const { model, thinkingDefault, tag } = head;
  const marks = marksOf(trailOf({ model, thinkingDefault, body: { messages } }), tag);
  expect(sketch === undefined ? 0 : charsHeld(marks, readSketch(sketch))).toBe(marks.charsTotal);
});
