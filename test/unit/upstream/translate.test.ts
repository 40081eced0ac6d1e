/** An upstream's stream as this API tells it: whatever the server's habits, and wherever its bytes are cut. */
import { notesOf } from "@sluice/protocol/events";
import fc from "fast-check";
import { describe, test } from "vitest";
import { Translator, type Bounds } from "../../../src/upstream/translate.ts";

const FACE = { id: "chatcmpl-1", createdS: 7, model: "deepseek-chat", includeUsage: true };
const BOUNDS: Bounds = { promptCeiling: 100, outputCeiling: 50, promptTokens: 12, isolated: true };

type Delta = Record<string, unknown>;

function chunk(delta: Delta, finish: string | null = null, more: object = {}): string {
  const choices = [{ index: 0, delta, finish_reason: finish }];
  return JSON.stringify({ id: "theirs", object: "chat.completion.chunk", model: "theirs", choices, ...more });
}
const USAGE = {
  prompt_tokens: 20,
  completion_tokens: 9,
  total_tokens: 29,
  prompt_tokens_details: { cached_tokens: 5 },
  completion_tokens_details: { reasoning_tokens: 4 },
};
const usage = (of: object = USAGE): string => JSON.stringify({ choices: [], usage: of });

/** As OpenAI, vLLM and DeepSeek write: role first, thoughts, text, a finish, usage, [DONE]. */
const ORDINARY = [
  chunk({ role: "assistant", content: "" }),
  chunk({ reasoning_content: "hmm, " }),
  chunk({ reasoning_content: "grüße 你好" }),
  chunk({ content: "Hallo " }),
  chunk({ content: "Wörld\n\ndata: x" }),
  chunk({}, "stop"),
  usage(),
  "[DONE]",
];
const sse = (events: readonly string[], end = "\n"): string =>
  events.map((data) => `data: ${data}${end}${end}`).join("");

const encoder = new TextEncoder();

/** What is told for these bytes, cut behind each of `cuts`. */
function told(
  text: string,
  how: { cuts?: readonly number[]; stream?: boolean; bounds?: Bounds; face?: object } = {},
) {
  const { cuts = [], stream = true, bounds = BOUNDS, face = {} } = how;
  const bytes = encoder.encode(text);
  const translator = new Translator({ ...FACE, ...face }, stream, bounds);
  const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  let events = "";
  for (let i = 1; i < edges.length; i++) events += translator.push(bytes.subarray(edges[i - 1], edges[i]));
  events += translator.end();
  return { events, translator };
}

/** The data of events, parsed. */
// oxlint-disable-next-line typescript/no-explicit-any -- what was printed is looked at field by field
function dataOf(events: string): any[] {
  return events
    .split("\n")
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice("data: ".length)));
}

function textOf(events: string, field: "content" | "reasoning_content"): string {
  return dataOf(events)
    .map(({ choices }) => choices[0]?.delta[field] ?? "")
    .join("");
}

describe("a stream", () => {
  test("is told under our names, role with the first text, its end in one piece and its usage as ours", ({
    expect,
  }) => {
    const { events, translator } = told(sse(ORDINARY));
    const chunks = dataOf(events);
    expect(new Set(chunks.map(({ id, model, created }) => `${id} ${model} ${created}`))).toEqual(
      new Set(["chatcmpl-1 deepseek-chat 7"]),
    );
    expect(chunks[0].choices[0].delta).toEqual({
      role: "assistant",
      content: null,
      reasoning_content: "hmm, ",
    });
    expect(textOf(events, "reasoning_content")).toBe("hmm, grüße 你好");
    expect(textOf(events, "content")).toBe("Hallo Wörld\n\ndata: x");
    expect(chunks.at(-2).choices[0].finish_reason).toBe("stop");
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: 20,
        completion_tokens: 9,
        total_tokens: 29,
        prompt_tokens_details: { cached_tokens: 5 },
        completion_tokens_details: { reasoning_tokens: 4 },
        prompt_cache_hit_tokens: 5,
      },
    });
    expect(events.match(/: more\n/g)).toHaveLength(2);
    expect(events.endsWith("data: [DONE]\n\n")).toBe(true);
    const notes = notesOf(events);
    expect(notes[0]).toMatchObject({ prompt: 12, cached: 0, from: 0 });
    expect(notes.at(-1)).toMatchObject({ to: 9, reasoning: 4, ended: "stop" });
    expect(events).not.toContain("theirs");
    expect(translator.over).toBe(true);
  });

  test("is told the same wherever its bytes are cut, once and in every way of three", ({ expect }) => {
    for (const end of ["\n", "\r\n"]) {
      const text = sse(ORDINARY, end);
      const { events: whole } = told(text);
      const length = encoder.encode(text).length;
      for (let at = 0; at <= length; at++) expect(told(text, { cuts: [at] }).events).toBe(whole);
      fc.assert(
        fc.property(fc.array(fc.nat(length), { maxLength: 20 }), (cuts) => {
          expect(told(text, { cuts }).events).toBe(whole);
        }),
      );
    }
  });

  test("that is cut off at any byte before its finish has no end, and every event told is whole", ({
    expect,
  }) => {
    const bytes = encoder.encode(sse(ORDINARY));
    const finishAt = encoder.encode(sse(ORDINARY.slice(0, 5))).length;
    for (let at = 0; at < bytes.length; at++) {
      const translator = new Translator(FACE, true, BOUNDS);
      const events = translator.push(bytes.subarray(0, at)) + translator.end();
      expect(events === "" || events.endsWith("\n\n")).toBe(true);
      expect(() => dataOf(events)).not.toThrow();
      if (at <= finishAt) expect(events).not.toContain("[DONE]");
    }
  });

  test("of a server that says neither usage nor [DONE] is counted: pieces, or a quarter of the bytes", ({
    expect,
  }) => {
    const few = told(sse([chunk({ content: "a".repeat(40) }), chunk({ content: "b" }), chunk({}, "length")]));
    expect(few.translator.settled()).toMatchObject({
      certainty: "estimated",
      counts: { promptTokens: 12, cachedTokens: 0, completionTokens: 11, reasoningTokens: 0 },
    });
    expect(notesOf(few.events).at(-1)).toMatchObject({ to: 11, ended: "length" });
    const many = told(sse([...Array.from({ length: 8 }, () => chunk({ content: "x" })), chunk({}, "stop")]));
    expect(many.translator.settled().counts.completionTokens).toBe(8);
  });

  test("that goes on beyond what is held is ended there, with `length`", ({ expect }) => {
    const bounds = { ...BOUNDS, outputCeiling: 3 };
    const { events, translator } = told(
      sse([...Array.from({ length: 9 }, (_, i) => chunk({ content: `${i}` })), usage(), "[DONE]"]),
      { bounds },
    );
    expect(textOf(events, "content")).toBe("012");
    expect(translator.over).toBe(true);
    expect(notesOf(events).at(-1)).toMatchObject({ to: 3, ended: "length" });
    expect(translator.settled().counts.completionTokens).toBe(3);
  });

  test("says nothing of what was cached where another account's prompt may have put it there", ({
    expect,
  }) => {
    const { events, translator } = told(sse(ORDINARY), { bounds: { ...BOUNDS, isolated: false } });
    expect(dataOf(events).at(-1).usage).toMatchObject({
      prompt_tokens_details: { cached_tokens: 0 },
      prompt_cache_hit_tokens: 0,
    });
    const { counts, raw } = translator.settled();
    expect([counts.cachedTokens, raw.cachedTokens]).toEqual([0, 5]);
  });

  test("whose usage is more than what is held is billed what is held", ({ expect }) => {
    const more = { ...USAGE, prompt_tokens: 9_999, completion_tokens: 9_999 };
    const { translator } = told(sse([chunk({ content: "x" }, "stop"), usage(more), "[DONE]"]));
    expect(translator.settled()).toMatchObject({
      certainty: "reported",
      counts: { promptTokens: 100, completionTokens: 50 },
      raw: { promptTokens: 9_999, completionTokens: 9_999 },
    });
  });

  const HABITS: readonly (readonly [string, readonly string[], object])[] = [
    [
      "thoughts under the newer name",
      [chunk({ reasoning: "hm" }), chunk({ content: "x" }, "stop")],
      { reasoning: "hm" },
    ],
    [
      "usage with the last text",
      [chunk({ content: "x" }, "stop", { usage: USAGE })],
      { certainty: "reported" },
    ],
    [
      "usage that grows with every chunk",
      [
        chunk({ content: "x" }, null, { usage: { ...USAGE, completion_tokens: 1 } }),
        chunk({}, "stop", { usage: USAGE }),
      ],
      { certainty: "reported", completion: 9 },
    ],
    [
      "usage that is null on the way",
      [chunk({ content: "x" }, "stop", { usage: null })],
      { certainty: "estimated" },
    ],
    [
      "usage that makes no sense",
      [chunk({ content: "x" }, "stop", { usage: { ...USAGE, completion_tokens: -1 } })],
      { certainty: "estimated" },
    ],
    [
      "text in parts, choices without a number, and events of nothing",
      [
        "",
        JSON.stringify({
          choices: [{ index: null, delta: { content: [{ type: "text", text: "x" }, { text: "y" }] } }],
        }),
        chunk({ content: [] }),
        chunk({}, "stop"),
      ],
      { completion: 1, content: "xy", finish: "stop" },
    ],
    [
      "usage in its first chunk alone, however little of the text that counts",
      [
        chunk({ content: "x" }, null, { usage: { ...USAGE, completion_tokens: 1 } }),
        ...Array.from({ length: 20 }, () => chunk({ content: "x" })),
        chunk({}, "stop"),
      ],
      { certainty: "estimated", completion: 21 },
    ],
    [
      "a completion of nothing where text came",
      [chunk({ content: "x" }, "stop", { usage: { ...USAGE, completion_tokens: 0 } })],
      { certainty: "estimated", completion: 1 },
    ],
    [
      "a prompt of nothing",
      [chunk({ content: "x" }, "stop"), usage({ ...USAGE, prompt_tokens: 0 })],
      { certainty: "estimated", completion: 1 },
    ],
    [
      "zeros behind the usage",
      [chunk({ content: "x" }, "stop"), usage(), usage({ prompt_tokens: 0, completion_tokens: 0 })],
      { certainty: "reported", completion: 9 },
    ],
    [
      "an answer without a word, which costs its prompt",
      [chunk({}, "stop"), usage({ ...USAGE, completion_tokens: 0 })],
      { certainty: "reported", completion: 0 },
    ],
    ["no choices at all in some chunks", ["{}", chunk({ content: "x" }, "stop")], { certainty: "estimated" }],
    [
      "a filter of its own",
      [chunk({ content: "x" }, "content_filter")],
      { finish: "content_filter", ended: "stop" },
    ],
    ["a finish nobody knows", [chunk({ content: "x" }, "eos")], { finish: "stop", ended: "stop" }],
  ];
  test.for(HABITS)("is read with %s", ([, events, want], { expect }) => {
    const { events: said, translator } = told(sse([...events, "[DONE]"]));
    const { certainty, counts } = translator.settled();
    const finish = dataOf(said).findLast(({ choices }) => choices.length > 0)?.choices[0].finish_reason;
    const { ended } = notesOf(said).at(-1) ?? {};
    const got = { certainty, completion: counts.completionTokens, finish, ended };
    const text = { reasoning: textOf(said, "reasoning_content"), content: textOf(said, "content") };
    expect({ ...got, ...text }).toMatchObject(want);
  });

  test("keeps comments, names of events and empty lines to itself", ({ expect }) => {
    const text = `: OPENROUTER PROCESSING\n\nevent: message\nid: 4\ndata:${chunk({ content: "x" }, "stop")}\n\n\n\ndata: [DONE]\n\n`;
    const { events } = told(text);
    expect(textOf(events, "content")).toBe("x");
    expect(events).not.toContain("OPENROUTER");
  });

  const BROKEN = [
    ["is no JSON", "{nonsense"],
    ["says that it failed", '{"error":{"message":"planted words of the upstream"}}'],
    ["has no shape of ours", '{"choices":"x"}'],
    ["says that all is done, and no finish came", "[DONE]"],
    ["is a finish of a server that gave up", chunk({}, "abort")],
    ["is DeepSeek's finish for want of machines", chunk({}, "insufficient_system_resource")],
  ] as const;
  test.for(BROKEN)("whose next event %s has failed, without a word of it", ([, data], { expect }) => {
    const { events, translator } = told(
      sse([chunk({ content: "x" }), data, chunk({ content: "y" }, "stop")]),
    );
    expect(notesOf(events).at(-1)).toEqual({ to: 1, ended: "engine_died" });
    expect(translator.over).toBe(true);
    expect(textOf(events, "content")).toBe("x");
    expect(events).not.toMatch(/planted|nonsense|DONE/);
  });

  test("of any bytes at all tells whole events or nothing, and never throws", ({ expect }) => {
    const pieces = fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom("data: ", "\n", "\r\n", "[DONE]", ...ORDINARY).map((text) => encoder.encode(text)),
      ),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(pieces, fc.boolean(), (parts, stream) => {
        const translator = new Translator(FACE, stream, BOUNDS);
        const events = parts.map((part) => translator.push(part)).join("") + translator.end();
        expect(events === "" || events.endsWith("\n\n")).toBe(true);
        expect(() => dataOf(events)).not.toThrow();
      }),
    );
  });
});

describe("an answer in one piece", () => {
  const CALLS = [
    chunk({ content: "Let me see." }),
    chunk({
      tool_calls: [{ index: 0, id: "call_a", type: "function", function: { name: "f", arguments: "" } }],
    }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] }),
    chunk({
      tool_calls: [{ index: 1, id: "call_b", type: "function", function: { name: "g", arguments: "{}" } }],
    }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }),
    chunk({}, "tool_calls"),
    usage(),
    "[DONE]",
  ];

  test("is put together from the stream: thoughts, text, calls and usage", ({ expect }) => {
    const { events } = told(sse(ORDINARY), { stream: false });
    const [whole, ...more] = dataOf(events);
    expect(more).toEqual([]);
    expect(whole).toMatchObject({
      id: "chatcmpl-1",
      object: "chat.completion",
      model: "deepseek-chat",
      choices: [
        {
          message: {
            role: "assistant",
            reasoning_content: "hmm, grüße 你好",
            content: "Hallo Wörld\n\ndata: x",
            refusal: null,
          },
          finish_reason: "stop",
        },
      ],
      usage: { prompt_tokens: 20, completion_tokens: 9 },
    });
    // The way there shows that somebody is at work, and nothing else.
    expect(events.match(/^: working at=\d+$/gm)).toHaveLength(4);
    expect(notesOf(events)).toEqual([{ prompt: 20, cached: 5, from: 0, to: 9, reasoning: 4, ended: "stop" }]);
  });

  test("has its tool calls whole, as a stream has them in pieces", ({ expect }) => {
    const [whole] = dataOf(told(sse(CALLS), { stream: false }).events);
    const calls = [
      { id: "call_a", type: "function", function: { name: "f", arguments: '{"x":1}' } },
      { id: "call_b", type: "function", function: { name: "g", arguments: "{}" } },
    ];
    expect(whole.choices[0]).toMatchObject({
      message: { content: "Let me see.", tool_calls: calls },
      finish_reason: "tool_calls",
    });
    const pieces = dataOf(told(sse(CALLS)).events).flatMap(
      ({ choices }) => choices[0]?.delta.tool_calls ?? [],
    );
    expect(pieces.filter(({ index }) => index === 0).map((one) => one.function.arguments)).toEqual([
      "",
      '{"x"',
      ":1}",
    ]);
  });

  test("that broke off is none", ({ expect }) => {
    const { events } = told(sse(ORDINARY.slice(0, 5)), { stream: false });
    expect(dataOf(events)).toEqual([]);
  });
});
