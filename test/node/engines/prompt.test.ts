/** Prompts: special tokens come from the template, and never from what a user typed. */
import fc from "fast-check";
import { describe, test } from "vitest";
import type { ChatMessage } from "../../../gpu-node/src/engines/engine.ts";
import { encodeSegments } from "../../../gpu-node/src/engines/llama/encode.ts";
import { pickTemplate } from "../../../gpu-node/src/engines/llama/pick-template.ts";
import { type Segment, cutContent, spellingsPattern } from "../../../gpu-node/src/engines/llama/segments.ts";
import { withoutReasoning } from "../../../gpu-node/src/engines/llama/template.ts";
import type { Vocabulary } from "../../../gpu-node/src/engines/llama/vocabulary.ts";

const BOS = "<｜begin▁of▁sentence｜>";
const EOS = "<｜end▁of▁sentence｜>";
const SPELLINGS = [BOS, EOS, "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"];

/** The form of DeepSeek-V3.1's own template, without its tools. */
const V31 = `{% if not thinking is defined %}{% set thinking = false %}{% endif %}{% set ns = namespace(system='', first=true) %}
{%- for m in messages %}{%- if m['role'] == 'system' %}{%- if ns.first %}{% set ns.system = m['content'] %}{% set ns.first = false %}{%- else %}{% set ns.system = ns.system + '\\n\\n' + m['content'] %}{%- endif %}{%- endif %}{%- endfor %}
{{- bos_token }}{{ ns.system }}
{%- for m in messages %}{%- if m['role'] == 'user' %}{{- '<｜User｜>' + m['content'] }}{%- elif m['role'] == 'assistant' %}{{- '<｜Assistant｜></think>' + m['content'] + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<｜Assistant｜>' }}{%- if thinking %}{{- '<think>' }}{%- else %}{{- '</think>' }}{%- endif %}{%- endif %}`;
/** R1's: thinks always, and its history has no mark. */
const R1 = V31.replace("<｜Assistant｜></think>' + m", "<｜Assistant｜>' + m")
  .replace("{{- '<think>' }}", "{{- '<think>\\n' }}")
  .replace("{{- '</think>' }}", "{{- '<think>\\n' }}");
const CHATML =
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}";
const STRICT = `{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[go]`;

function vocabulary(template: string | undefined, spellings: readonly string[] = SPELLINGS): Vocabulary {
  const ids = new Map(spellings.map((text, id) => [text, id]));
  const think = ids.has("<think>") ? { open: 4, close: 5 } : undefined;
  return {
    size: 999,
    special: new Set(ids.values()),
    spellings: ids,
    think,
    bos: 0,
    bosText: BOS,
    eosText: EOS,
    addBos: true,
    template,
    byteLevel: true,
    bytesOf: () => undefined,
  };
}

const CHAT: readonly ChatMessage[] = [
  { role: "system", content: "S1" },
  { role: "system", content: "S2" },
  { role: "user", content: "U1" },
  { role: "assistant", content: "hm</think>A1" },
  { role: "user", content: "U2" },
];
const textOf = (segments: readonly Segment[]): string => segments.map(({ text }) => text).join("");

describe("a chat becomes a prompt", () => {
  const cases: readonly {
    name: string;
    template: string | undefined;
    spellings?: readonly string[];
    thinking: boolean;
    text: string;
  }[] = [
    {
      name: "V3.1, thinking",
      template: V31,
      thinking: true,
      text: `${BOS}S1\n\nS2<｜User｜>U1<｜Assistant｜></think>A1${EOS}<｜User｜>U2<｜Assistant｜><think>`,
    },
    {
      name: "V3.1, not thinking",
      template: V31,
      thinking: false,
      text: `${BOS}S1\n\nS2<｜User｜>U1<｜Assistant｜></think>A1${EOS}<｜User｜>U2<｜Assistant｜></think>`,
    },
    {
      name: "R1",
      template: R1,
      thinking: true,
      text: `${BOS}S1\n\nS2<｜User｜>U1<｜Assistant｜>A1${EOS}<｜User｜>U2<｜Assistant｜><think>\n`,
    },
    {
      name: "DeepSeek without a template: V3.1",
      template: undefined,
      thinking: true,
      text: `${BOS}S1\n\nS2<｜User｜>U1<｜Assistant｜></think>A1${EOS}<｜User｜>U2<｜Assistant｜><think>`,
    },
    {
      name: "ChatML by its template",
      template: CHATML,
      spellings: ["<|im_start|>", "<|im_end|>"],
      thinking: false,
      text: "<|im_start|>system\nS1<|im_end|>\n<|im_start|>system\nS2<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n",
    },
    {
      name: "ChatML without a template",
      template: undefined,
      spellings: ["<|im_start|>", "<|im_end|>"],
      thinking: false,
      text: `${BOS}<|im_start|>system\nS1<|im_end|>\n<|im_start|>system\nS2<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n`,
    },
    {
      name: "a template that knows no system role",
      template: STRICT,
      spellings: [],
      thinking: false,
      text: "[user]S1\n\nS2\n\nU1[assistant]A1[user]U2[go]",
    },
  ];
  for (const { name, template, spellings, thinking, text } of cases) {
    test(name, ({ expect }) => {
      const segments = pickTemplate(vocabulary(template, spellings)).template({ messages: CHAT, thinking });
      expect(textOf(segments)).toBe(text);
      expect(
        segments
          .filter(({ kind }) => kind === "content")
          .map(({ text: written }) => written)
          .join("|"),
      ).not.toContain("<");
    });
  }

  test("a template's refusal reaches the caller with the template's words", ({ expect }) => {
    const render = pickTemplate(vocabulary(STRICT, [])).template;
    const messages: readonly ChatMessage[] = [{ role: "assistant", content: "first" }];
    expect(() => render({ messages, thinking: false })).toThrow(/Roles must alternate/);
  });

  test("earlier thinking goes, up to its last mark", ({ expect }) => {
    expect(withoutReasoning("a</think>b</think>\n\nc")).toBe("\n\nc");
    expect(withoutReasoning("plain")).toBe("plain");
  });
});

describe("what people wrote is cut so that it means only itself", () => {
  const pattern = spellingsPattern(SPELLINGS);

  test("no piece holds a mark, none is long, and together they are the text", ({ expect }) => {
    const bits = fc.constantFrom(
      ...SPELLINGS,
      "<",
      "think>",
      " ",
      "a",
      "b c",
      "｜",
      "\u{1f600}",
      "中",
      "\n",
      "<<think>",
      "x".repeat(30),
    );
    fc.assert(
      fc.property(fc.array(bits, { maxLength: 60 }), fc.integer({ min: 2, max: 40 }), (parts, charsMax) => {
        const text = parts.join("");
        const pieces = cutContent(text, pattern, charsMax);
        expect(pieces.join("")).toBe(text);
        for (const piece of pieces) {
          expect(piece.length).toBeLessThanOrEqual(charsMax);
          expect(SPELLINGS.some((spelling) => piece.includes(spelling))).toBe(false);
          expect(piece.isWellFormed()).toBe(true);
        }
      }),
    );
  });

  test("long text is cut before a blank between words", ({ expect }) => {
    expect(cutContent("alpha beta gamma delta", undefined, 12)).toEqual(["alpha beta", " gamma delta"]);
  });

  test("should a tokenizer find a mark all the same, the prompt is refused", async ({ expect }) => {
    const encoder = { tokenize: () => [5], special: new Set([5]), spellings: pattern, bos: undefined };
    await expect(encodeSegments([{ kind: "content", text: "x" }], encoder)).rejects.toMatchObject({
      kind: "unsupported",
    });
  });

  test("a prompt begins with the begin mark once, whether or not the template writes it", async ({
    expect,
  }) => {
    const tokenize = (text: string): number[] => (text === BOS ? [0] : [9]);
    const encoder = { tokenize, special: new Set([0]), spellings: pattern, bos: 0 };
    expect(
      await encodeSegments(
        [
          { kind: "template", text: BOS },
          { kind: "content", text: "x" },
        ],
        encoder,
      ),
    ).toEqual([0, 9]);
    expect(await encodeSegments([{ kind: "content", text: "x" }], encoder)).toEqual([0, 9]);
  });
});
