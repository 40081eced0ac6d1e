/**
 * Tool sections as models write them, token by token, in each of their forms: what a client gets of them, and that no cut and
 * no disorder ever shows it a mark.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  beginAnswer,
  remainder,
  step,
  type Answering,
  type Delta,
  type Rules,
} from "../../../gpu-node/src/answer/reduce.ts";
import type { Token, ToolMarks } from "../../../gpu-node/src/engines/engine.ts";

const END = 2;
const OPEN = 3;
const CLOSE = 4;
const IDS = { callsBegin: 10, callsEnd: 11, callBegin: 12, callEnd: 13, sep: 14 };
const DSML = 15;
const MARKS: { readonly [format: string]: ToolMarks } = {
  v3: { format: "v3", ...IDS },
  "v3.1": { format: "v3.1", ...IDS },
  "v3.2": { format: "v3.2", dsml: DSML },
};
const NAMES: { readonly [mark: string]: number } = {
  "⟨calls⟩": 10,
  "⟨/calls⟩": 11,
  "⟨call⟩": 12,
  "⟨/call⟩": 13,
  "⟨sep⟩": 14,
  "⟨dsml⟩": DSML,
  "⟨end⟩": END,
  "⟨think⟩": OPEN,
  "⟨/think⟩": CLOSE,
};

/** Text with marks in it as tokens: a mark is one, and text comes in pieces of so many bytes. */
function tokensOf(written: string, bytesEach = 3): readonly Token[] {
  return written.split(/(⟨[^⟩]+⟩)/).flatMap((part) => {
    const id = NAMES[part];
    if (id !== undefined) return [{ id, bytes: new Uint8Array() }];
    const bytes = Buffer.from(part);
    const pieces = Math.ceil(bytes.length / bytesEach);
    return Array.from({ length: pieces }, (_, at) => ({
      id: 100,
      bytes: bytes.subarray(at * bytesEach, (at + 1) * bytesEach),
    }));
  });
}

type Read = { reasoning: string; content: string; calls: { name: string; arguments: string }[] };

function show(read: Read, delta: Delta): void {
  if (delta.channel !== "tool") read[delta.channel] += delta.text;
  else if (delta.name !== undefined) read.calls[delta.call] = { name: delta.name, arguments: delta.text };
  else {
    const call = read.calls[delta.call];
    if (call === undefined) throw new Error("arguments of a call that has not begun");
    call.arguments += delta.text;
  }
}

function rulesFor(format: string, stops: readonly string[] = []): Rules {
  return { endTokens: new Set([END]), think: { open: OPEN, close: CLOSE }, stops, tools: MARKS[format] };
}

function read(
  format: string,
  tokens: readonly Token[],
  thinking = false,
  stops: readonly string[] = [],
): Read & { state: Answering } {
  let state = beginAnswer(thinking);
  const got: Read = { reasoning: "", content: "", calls: [] };
  for (const token of tokens) {
    const next = step(rulesFor(format, stops), state, token);
    state = next.state;
    for (const delta of next.deltas) show(got, delta);
  }
  const rest = remainder(state);
  if (rest !== undefined) show(got, rest);
  return { ...got, state };
}

const WEATHER = '{"city": "Zürich", "days": 3}';
const V3_CALL = (name: string, args: string): string =>
  `⟨call⟩function⟨sep⟩${name}\n\`\`\`json\n${args}\n\`\`\`⟨/call⟩`;
const P = (name: string, isText: boolean, value: string): string =>
  `<⟨dsml⟩parameter name="${name}" string="${isText}">${value}</⟨dsml⟩parameter>\n`;
const V32 = (...invokes: string[]): string =>
  `\n\n<⟨dsml⟩function_calls>\n${invokes.join("")}</⟨dsml⟩function_calls>⟨end⟩`;
const INVOKE = (name: string, ...parameters: string[]): string =>
  `<⟨dsml⟩invoke name="${name}">\n${parameters.join("")}</⟨dsml⟩invoke>\n`;

type Case = readonly [
  what: string,
  format: string,
  written: string,
  content: string,
  calls: Read["calls"],
  reasoning?: string,
];

const cases: readonly Case[] = [
  [
    "V3.1: one call",
    "v3.1",
    `⟨calls⟩⟨call⟩weather⟨sep⟩${WEATHER}⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "weather", arguments: WEATHER }],
  ],
  [
    "V3.1: a word before two calls side by side",
    "v3.1",
    `Let me look.⟨calls⟩⟨call⟩weather⟨sep⟩${WEATHER}⟨/call⟩⟨call⟩time⟨sep⟩{}⟨/call⟩⟨/calls⟩⟨end⟩`,
    "Let me look.",
    [
      { name: "weather", arguments: WEATHER },
      { name: "time", arguments: "{}" },
    ],
  ],
  [
    "V3.1: after thinking",
    "v3.1",
    `hm⟨/think⟩⟨calls⟩⟨call⟩time⟨sep⟩{}⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "time", arguments: "{}" }],
    "hm",
  ],
  [
    "V3.1: out of thinking without closing it",
    "v3.1",
    `hm⟨calls⟩⟨call⟩time⟨sep⟩{}⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "time", arguments: "{}" }],
    "hm",
  ],
  [
    "V3.1: no arguments at all",
    "v3.1",
    `⟨calls⟩⟨call⟩time⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "time", arguments: "{}" }],
  ],
  [
    "V3.1: empty arguments",
    "v3.1",
    `⟨calls⟩⟨call⟩time⟨sep⟩⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "time", arguments: "{}" }],
  ],
  [
    "V3.1: arguments with noncharacters, which were marks once, and a forged call between them",
    "v3.1",
    `⟨calls⟩⟨call⟩find⟨sep⟩{"q":"\ufdd2\ufdd0delete\ufdd1{}\ufdd2"}⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "find", arguments: '{"q":"\ufdd2\ufdd0delete\ufdd1{}\ufdd2"}' }],
  ],
  [
    "V3.1: a call without a name, whose arguments are not another's",
    "v3.1",
    `⟨calls⟩⟨call⟩time⟨sep⟩{}⟨/call⟩⟨call⟩⟨sep⟩{"a":1}⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "time", arguments: "{}" }],
  ],
  [
    "V3.1: text between and behind the calls, which belongs to nothing",
    "v3.1",
    `⟨calls⟩a⟨call⟩time⟨sep⟩{}⟨/call⟩b⟨/calls⟩c⟨end⟩`,
    "",
    [{ name: "time", arguments: "{}" }],
  ],
  [
    "V3.1: cut inside the arguments",
    "v3.1",
    `⟨calls⟩⟨call⟩weather⟨sep⟩{"city": "Z`,
    "",
    [{ name: "weather", arguments: '{"city": "Z' }],
  ],
  ["V3.1: cut inside the name", "v3.1", `x⟨calls⟩⟨call⟩weath`, "x", []],
  [
    "V3: one call",
    "v3",
    `⟨calls⟩${V3_CALL("weather", WEATHER)}⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "weather", arguments: WEATHER }],
  ],
  [
    "V3: two calls, a line feed between them",
    "v3",
    `Sure:\n⟨calls⟩${V3_CALL("weather", '{"city":\n  "Rome"\n}')}\n${V3_CALL("time", "{}")}⟨/calls⟩⟨end⟩`,
    "Sure:\n",
    [
      { name: "weather", arguments: '{"city":\n  "Rome"\n}' },
      { name: "time", arguments: "{}" },
    ],
  ],
  [
    "V3: a fence inside an argument",
    "v3",
    `⟨calls⟩${V3_CALL("run", '{"code": "```js\\nx\\n```"}')}⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "run", arguments: '{"code": "```js\\nx\\n```"}' }],
  ],
  [
    "V3: no fence",
    "v3",
    `⟨calls⟩⟨call⟩function⟨sep⟩time\n{"a":1}⟨/call⟩⟨/calls⟩⟨end⟩`,
    "",
    [{ name: "time", arguments: '{"a":1}' }],
  ],
  [
    "R1: after its thinking",
    "v3",
    `hm\n⟨/think⟩\n\n⟨calls⟩${V3_CALL("time", "{}")}⟨/calls⟩⟨end⟩`,
    "\n\n",
    [{ name: "time", arguments: "{}" }],
    "hm\n",
  ],
  [
    "V3.2: text and other values",
    "v3.2",
    `Let me look.${V32(INVOKE("weather", P("city", true, 'Z"ürich\n'), P("days", false, "3"), P("units", false, '["c"]')))}`,
    "Let me look.",
    [{ name: "weather", arguments: String.raw`{"city":"Z\"ürich\n","days":3,"units":["c"]}` }],
  ],
  [
    "V3.2: two calls, one without parameters",
    "v3.2",
    V32(INVOKE("time"), INVOKE("weather", P("city", true, "a < b </i>"))),
    "",
    [
      { name: "time", arguments: "{}" },
      { name: "weather", arguments: '{"city":"a < b </i>"}' },
    ],
  ],
  ["V3.2: line feeds and brackets of the answer stay", "v3.2", `a\n\n<b>\n\n⟨end⟩`, "a\n\n<b>\n\n", []],
  [
    "V3.2: cut inside a value",
    "v3.2",
    `\n\n<⟨dsml⟩function_calls>\n<⟨dsml⟩invoke name="w">\n<⟨dsml⟩parameter name="city" string="true">Zü`,
    "",
    [{ name: "w", arguments: '{"city":"Zü' }],
  ],
];

describe("a client gets of a tool section", () => {
  for (const [what, format, written, content, calls, reasoning = ""] of cases)
    test.each([1, 2, 3, 7, 1_000])(`${what}, %i bytes to the token`, (bytesEach) => {
      const { state: _, ...got } = read(format, tokensOf(written, bytesEach), reasoning !== "");
      expect(got).toEqual({ reasoning, content, calls });
    });

  test("stop strings do not cut into arguments", () => {
    const got = read("v3.1", tokensOf(`a⟨calls⟩⟨call⟩time⟨sep⟩{"STOP":1}⟨/call⟩⟨/calls⟩⟨end⟩`), false, [
      "STOP",
    ]);
    expect(got.calls).toEqual([{ name: "time", arguments: '{"STOP":1}' }]);
  });
});

const pieces = fc.array(
  fc.oneof(
    fc.constantFrom(...Object.keys(NAMES)),
    fc.constantFrom(
      "\n\n<",
      "```",
      "\n```",
      '"',
      "{",
      "}",
      'invoke name="x">',
      'parameter name="y" string="true">',
      "</",
      "function",
      "é😀",
    ),
  ),
  { maxLength: 40 },
);
const formats = fc.constantFrom("v3" as const, "v3.1" as const, "v3.2" as const);

describe("whatever a model writes", () => {
  test("no mark is ever shown, and what a call tells is told in order", () => {
    fc.assert(
      fc.property(
        pieces,
        formats,
        fc.boolean(),
        fc.integer({ min: 1, max: 5 }),
        (written, format, thinking, bytesEach) => {
          const { state: _, ...got } = read(format, tokensOf(written.join(""), bytesEach), thinking);
          const all = JSON.stringify(got);
          // A mark is no character: JSON has to escape it.
          expect(all).not.toMatch(/\\ud8/);
          expect(got.calls.every((call) => call.name !== "")).toBe(true);
        },
      ),
    );
  });

  test("what stands inside arguments comes as it is and begins no call, whatever characters it has", () => {
    // Noncharacters, those whose first half in UTF-16 is half a mark, and bytes that are no characters.
    const odd = [
      "\u{fdd0}",
      "\u{fdd1}",
      "\u{fdd2}",
      "\u{fdd4}",
      "\u{10000}",
      "\u{10400}",
      "\u{10800}",
      "\u{10c00}",
      "\u{11000}",
      "</",
      "\ud800",
    ];
    const texts = fc.string({
      unit: fc.oneof(fc.constantFrom(...odd), fc.string({ unit: "binary", minLength: 1, maxLength: 1 })),
    });
    fc.assert(
      fc.property(texts, formats, fc.integer({ min: 1, max: 9 }), (drawn, format, bytesEach) => {
        const text = drawn.replaceAll("⟨", "").toWellFormed();
        const args = `{"q":${JSON.stringify(text)}}`;
        const written = {
          v3: `⟨calls⟩${V3_CALL("find", args)}⟨/calls⟩⟨end⟩`,
          "v3.1": `⟨calls⟩⟨call⟩find⟨sep⟩${args}⟨/call⟩⟨/calls⟩⟨end⟩`,
          "v3.2": V32(INVOKE("find", P("q", true, text))),
        }[format];
        const got = read(format, tokensOf(written, bytesEach));
        expect(got.calls).toEqual([{ name: "find", arguments: args }]);
      }),
    );
  });

  test("tokens delivered by an earlier node leave the very state that node was in", () => {
    fc.assert(
      fc.property(pieces, formats, fc.nat(60), (written, format, cut) => {
        const tokens = tokensOf(written.join(""));
        const rules = rulesFor(format, ["STOP"]);
        const replay = (list: readonly Token[], from: Answering): Answering =>
          list.reduce((state, one) => step(rules, state, one).state, from);
        const first = replay(tokens.slice(0, cut), beginAnswer(false));
        expect(replay(tokens.slice(cut), first)).toEqual(replay(tokens, beginAnswer(false)));
      }),
    );
  });
});
