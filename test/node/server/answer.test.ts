/** From tokens to text, without an engine: channels, characters, stop strings, and what a write is made of. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Gather } from "../../../gpu-node/src/answer/gather.ts";
import {
  beginAnswer,
  remainder,
  step,
  type Answering,
  type Delta,
  type Rules,
} from "../../../gpu-node/src/answer/reduce.ts";
import { scanStops } from "../../../gpu-node/src/answer/stops.ts";
import { decodeLast, decodeMore, NO_BYTES } from "../../../gpu-node/src/answer/utf8.ts";
import type { Token } from "../../../gpu-node/src/engines/engine.ts";

const END = 2;
const OPEN = 3;
const CLOSE = 4;
const rules = (stops: readonly string[] = []): Rules => ({
  endTokens: new Set([END]),
  think: { open: OPEN, close: CLOSE },
  stops,
  tools: undefined,
});
const control = (id: number): Token => ({ id, bytes: NO_BYTES });
const text = (content: string, id = 100): Token => ({ id, bytes: Buffer.from(content) });

type Ran = { readonly state: Answering; readonly reasoning: string; readonly content: string };

/** Runs until an end token or a stop string, as an attempt does. */
function run(stops: readonly string[], thinking: boolean, tokens: readonly Token[]): Ran {
  let state = beginAnswer(thinking);
  const shown = { reasoning: "", content: "" };
  const show = (delta: Delta | undefined): void => {
    if (delta !== undefined && delta.channel !== "tool") shown[delta.channel] += delta.text;
  };
  for (const token of tokens) {
    if (state.stopped) break;
    const next = step(rules(stops), state, token);
    state = next.state;
    for (const delta of next.deltas) show(delta);
  }
  show(remainder(state));
  return { state, ...shown };
}

describe("what a client reads", () => {
  test.each<[string, readonly string[], boolean, readonly Token[], string, string, number, number]>([
    ["plain text", [], false, [text("a"), text("b"), control(END)], "", "ab", 3, 0],
    ["thinking first", [], true, [text("hm"), control(CLOSE), text("yes"), control(END)], "hm", "yes", 4, 2],
    ["thinking that never closes", [], true, [text("hm"), text("hm")], "hmhm", "", 2, 2],
    [
      "a model that begins to think by itself",
      [],
      false,
      [control(OPEN), text("hm"), control(CLOSE), text("a")],
      "hm",
      "a",
      4,
      3,
    ],
    ["a stop string in one token", ["X"], false, [text("aXb"), text("c")], "", "a", 1, 0],
    [
      "a stop string over three tokens",
      ["STOP"],
      false,
      [text("a S"), text("TO"), text("P b")],
      "",
      "a ",
      3,
      0,
    ],
    [
      "what only looked like a stop string",
      ["STOP"],
      false,
      [text("a ST"), text("ART")],
      "",
      "a START",
      2,
      0,
    ],
    [
      "the beginning of a stop string at the very end",
      ["STOP"],
      false,
      [text("a ST"), control(END)],
      "",
      "a ST",
      2,
      0,
    ],
    [
      "a stop string in the thinking, which does not count",
      ["X"],
      true,
      [text("aX"), control(CLOSE), text("b")],
      "aX",
      "b",
      3,
      2,
    ],
    ["the earliest of two stop strings", ["lo", "el"], false, [text("hello")], "", "h", 1, 0],
    [
      "an unfinished character at the end",
      [],
      false,
      [{ id: 9, bytes: Uint8Array.of(0xe6, 0xbc) }],
      "",
      "�",
      1,
      0,
    ],
  ])("%s", (...row) => {
    const [, stops, thinking, tokens, reasoning, content, positions, reasoningPositions] = row;
    const ran = run(stops, thinking, tokens);
    expect(ran).toMatchObject({ reasoning, content });
    expect(ran.state).toMatchObject({ positions, reasoning: reasoningPositions });
  });

  test("however a text is cut into tokens, the text is the same", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.array(fc.nat(8)), (whole, cuts) => {
        const bytes = Buffer.from(whole);
        let rest = NO_BYTES;
        let shown = "";
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const end = at + 1 + (cuts[i] ?? 0);
          const decoded = decodeMore(rest, bytes.subarray(at, end));
          shown += decoded.text;
          ({ rest } = decoded);
          at = end;
        }
        expect(shown + decodeLast(rest)).toBe(bytes.toString());
      }),
    );
  });

  test("however a text is cut, a stop string is found where it is in the whole, and never shown", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 12 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(letters), fc.array(stop, { minLength: 1, maxLength: 3 }), (pieces, stops) => {
        let held = "";
        let shown = "";
        let hit = false;
        for (const piece of pieces) {
          const scanned = scanStops(held + piece, stops);
          shown += scanned.show;
          ({ held, hit } = scanned);
          if (hit) break;
        }
        const whole = pieces.join("");
        const firsts = stops.map((one) => whole.indexOf(one)).filter((at) => at >= 0);
        expect(hit).toBe(firsts.length > 0);
        if (!hit) expect(shown + held).toBe(whole);
        else expect(stops.some((one) => shown.includes(one))).toBe(false);
      }),
    );
  });

  test("tokens delivered by an earlier node leave the very state that node was in", () => {
    const token = fc.oneof(
      fc.constantFrom(control(OPEN), control(CLOSE)),
      fc.string({ unit: fc.constantFrom("S", "T", "é", "x"), maxLength: 3 }).map((content) => text(content)),
    );
    fc.assert(
      fc.property(fc.array(token), fc.nat(20), fc.boolean(), (tokens, cut, thinking) => {
        const replay = (list: readonly Token[], from: Answering): Answering =>
          list.reduce((state, one) => step(rules(["STOP"]), state, one).state, from);
        const whole = replay(tokens, beginAnswer(thinking));
        const first = replay(tokens.slice(0, cut), beginAnswer(thinking));
        expect(replay(tokens.slice(cut), first)).toEqual(whole);
      }),
    );
  });
});

describe("what goes into one write", () => {
  const say = (content: string): readonly Delta[] => [{ channel: "content", text: content }];
  const none = { choice: 0, weighed: [] };

  test("neighbouring pieces become one, with the ids of all their positions", () => {
    const gather = new Gather(0, 0);
    gather.add(0, text("a", 7), say("a"), 0);
    gather.add(0, text("b", 8), say("b"), 0);
    const delta = { channel: "content", text: "ab" };
    expect(gather.take(9)).toEqual([{ ...none, delta, ids: [7, 8], to: 2, reasoning: 0 }]);
  });

  test("tokens without text travel with the next text, never alone", () => {
    const gather = new Gather(5, 2);
    gather.add(0, control(7), [], 1);
    expect(gather.hasText).toBe(false);
    expect(gather.take(9)).toEqual([]);
    gather.add(0, text("b", 8), say("b"), 0);
    const delta = { channel: "content", text: "b" };
    expect(gather.take(9)).toEqual([{ ...none, delta, ids: [7, 8], to: 7, reasoning: 3 }]);
  });

  test("text behind the last position that may be billed is shown and has none", () => {
    const gather = new Gather(0, 0, 1);
    gather.add(0, control(7), [], 1);
    gather.add(0, text("b", 8), say("b"), 0);
    const delta = { channel: "content", text: "b" };
    expect(gather.take(9)).toEqual([{ ...none, delta, ids: [7], to: 1, reasoning: 1 }]);
    expect([gather.to, gather.reasoning]).toEqual([1, 1]);
  });

  test("positions of several choices are counted together, and their texts stay apart", () => {
    const gather = new Gather(0, 0);
    gather.add(0, text("a", 7), say("a"), 0);
    gather.add(1, text("x", 8), say("x"), 0);
    gather.add(0, text("b", 9), say("b"), 0);
    expect(gather.take(9).map(({ choice, delta, to }) => [choice, delta.text, to])).toEqual([
      [0, "a", 1],
      [1, "x", 2],
      [0, "b", 3],
    ]);
  });

  test("a change of channel or of call makes a new piece, and a reader far behind gets pieces of bounded length", () => {
    const gather = new Gather(0, 0);
    gather.add(0, text("hm", 1), [{ channel: "reasoning", text: "hm" }], 1);
    for (let id = 2; id < 22; id++) gather.add(0, text("x", id), say("x".repeat(1_000)), 0);
    gather.add(0, text("f", 22), [{ channel: "tool", call: 0, name: "f", text: "" }], 0);
    gather.add(0, text("{}", 23), [{ channel: "tool", call: 0, text: "{}" }], 0);
    gather.add(0, text("g", 24), [{ channel: "tool", call: 1, name: "g", text: "" }], 0);
    const pieces = gather.take(99);
    expect(pieces[0]).toMatchObject({ delta: { channel: "reasoning" }, to: 1 });
    expect(pieces.length).toBeGreaterThan(6);
    expect(pieces.flatMap((piece) => piece.ids)).toEqual(Array.from({ length: 24 }, (_, at) => at + 1));
    expect(pieces.slice(-2).map(({ delta }) => delta)).toEqual([
      { channel: "tool", call: 0, name: "f", text: "{}" },
      { channel: "tool", call: 1, name: "g", text: "" },
    ]);
    expect(pieces.at(-1)?.to).toBe(24);
  });
});
