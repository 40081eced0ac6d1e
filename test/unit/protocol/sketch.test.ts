/** Prefix sketches: two sides that read the same body agree, and what differs is told apart. */
import {
  charsHeld,
  keyedOpening,
  marksOf,
  nextOnScale,
  openingOf,
  readSketch,
  Sketch,
  SKETCH_MARKS_MAX,
  sketchOf,
  TRAIL_MARKS_MAX,
  trailOf,
  type Marks,
  type PromptSource,
} from "@sluice/protocol/sketch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

type Message = { role: string; content: unknown };

const TAG = "k1-q83vEjRWeJCrze8S";
const SYSTEM: Message = { role: "system", content: "You are a careful assistant. ".repeat(40) };
const ask = (content: unknown): Message => ({ role: "user", content });
const say = (content: unknown): Message => ({ role: "assistant", content });

function source(messages: readonly Message[], change: Partial<PromptSource> = {}): PromptSource {
  return { model: "m", thinkingDefault: false, body: { messages }, ...change };
}

function marks(messages: readonly Message[], tag = TAG, change: Partial<PromptSource> = {}): Marks {
  return marksOf(trailOf(source(messages, change)), tag);
}

/** What a node that has cached these prompts says, as an edge reads it. */
function held(...cached: readonly Marks[]): Uint32Array {
  const said: unknown = JSON.parse(JSON.stringify(sketchOf(cached.flatMap((prompt) => [...prompt.marks]))));
  return readSketch(Sketch.parse(said));
}

const text = fc.string({ unit: "grapheme", maxLength: 3_000 });
const conversation = fc.array(
  fc.record({ role: fc.constantFrom("system", "user", "assistant"), content: text }),
  { minLength: 1, maxLength: 40 },
);

describe("what a node holds of a prompt", () => {
  test("is all of it, where it has answered the same before", () => {
    fc.assert(
      fc.property(conversation, (messages) => {
        const prompt = marks(messages);
        expect(charsHeld(prompt, held(prompt))).toBe(prompt.charsTotal);
      }),
    );
  });

  test("is the turn before, to the character, when a conversation goes on", () => {
    fc.assert(
      fc.property(conversation, text, text, (messages, answer, question) => {
        const before = marks(messages);
        const after = marks([...messages, say(answer), ask(question)]);
        expect(charsHeld(after, held(before))).toBe(before.charsTotal);
      }),
    );
  });

  test("is the system prompt, where only that is shared", () => {
    const known = held(marks([SYSTEM, ask("What is a sluice?")]));
    const other = marks([SYSTEM, ask("And a weir?")]);
    expect(charsHeld(other, known)).toBe(other.chars[other.marks.indexOf(marks([SYSTEM]).marks.at(-1) ?? 0)]);
    expect(charsHeld(other, known)).toBeGreaterThan(1_000);
  });

  test("is most of a document whose last lines differ, and never more than is shared", () => {
    fc.assert(
      fc.property(fc.integer({ min: 300, max: 60_000 }), (shared) => {
        const document = "lorem ipsum ".repeat(6_000).slice(0, shared);
        const known = held(marks([ask(`${document}A`)]));
        const other = marks([ask(`${document}B`)]);
        const chars = charsHeld(other, known);
        // What stands before the document is shared as well.
        expect(chars).toBeLessThanOrEqual(shared + 20);
        expect(chars).toBeGreaterThanOrEqual(Math.min(shared * 0.75, shared - 256));
      }),
    );
  });

  test.each([
    ["tag", marks([SYSTEM, ask("x")], "k1-another")],
    ["model", marks([SYSTEM, ask("x")], TAG, { model: "n" })],
    ["thinking default", marks([SYSTEM, ask("x")], TAG, { thinkingDefault: true })],
    ["thinking", marks([], TAG, { body: { messages: [SYSTEM, ask("x")], thinking: { type: "enabled" } } })],
    ["effort", marks([], TAG, { body: { messages: [SYSTEM, ask("x")], reasoning_effort: "low" } })],
    ["tools", marks([], TAG, { body: { messages: [SYSTEM, ask("x")], tools: [{ type: "function" }] } })],
    ["role", marks([{ ...SYSTEM, role: "user" }, ask("x")])],
  ])("is nothing under another %s", (_, other) => {
    expect(charsHeld(other, held(marks([SYSTEM, ask("x")])))).toBe(0);
    expect(other.opening).not.toBe(marks([SYSTEM, ask("x")]).opening);
  });

  test("does not depend on how a text is spelt", () => {
    expect(marks([ask([{ type: "text", text: "a" }])])).toEqual(marks([ask("a")]));
    expect(marks([ask("ab"), ask("c")]).opening).not.toBe(marks([ask("a"), ask("bc")]).opening);
  });
});

test("every turn of a conversation has the same opening, and it can be had without the rest", () => {
  fc.assert(
    fc.property(conversation, text, (messages, question) => {
      const begun = [...messages, ask("first, if none before")];
      const later = source([...begun, say("hm"), ask(question)]);
      expect(openingOf(later)).toBe(openingOf(source(begun)));
      expect(marksOf(trailOf(later), TAG).opening).toBe(keyedOpening(openingOf(later), TAG));
    }),
  );
});

test("a trail of any length is short: many messages, or one of four million characters", () => {
  const chat = marks(Array.from({ length: 4_096 }, (_, i) => ask("word ".repeat(i % 90))));
  const book = marks([ask("x".repeat(4 * 1024 * 1024))]);
  for (const prompt of [chat, book]) {
    expect(prompt.marks.length).toBeLessThan(TRAIL_MARKS_MAX);
    expect(prompt.chars.at(-1)).toBe(prompt.charsTotal);
  }
});

test("the scale has four boundaries to a doubling, and from the first character on", () => {
  const scale = [0];
  for (let i = 0; i < 12; i++) scale.push(nextOnScale(scale.at(-1) ?? 0));
  expect(scale).toEqual([0, 256, 512, 768, 1_024, 1_280, 1_536, 1_792, 2_048, 2_560, 3_072, 3_584, 4_096]);
});

test("whatever stands where a body's messages should is read without a fault", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.jsonValue(), (messages, tools) => {
      const odd = source([], { body: { messages, tools } });
      expect(trailOf(odd)).toEqual(trailOf(structuredClone(odd)));
    }),
  );
});

describe("a sketch", () => {
  test("comes back as it went, and keeps its limit", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 2 ** 32 - 1 })), (kept) => {
        expect([...readSketch(sketchOf(kept))]).toEqual(kept.toSorted((a, b) => a - b));
      }),
    );
    const many = sketchOf(Array.from({ length: SKETCH_MARKS_MAX + 5 }, (_, i) => i));
    expect(readSketch(Sketch.parse(many))).toHaveLength(SKETCH_MARKS_MAX);
  });

  test.each(["AQ", "not base64!", "AgAAAAEAAAA"])("that is none (%s) holds nothing", (odd) => {
    expect(readSketch({ recipe: 1, marks: odd })).toHaveLength(0);
  });
});
