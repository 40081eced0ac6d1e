/**
 * The tokenizer of the tools and llama.cpp's must agree on every text: the model was trained on ids from the one and
 * is fed ids from the other.
 */
import type { LlamaModel } from "node-llama-cpp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MODEL_PATH, readTokenizer } from "../../../tools/train/bundled.ts";
import { Dice } from "../../../tools/train/corpus/dice.ts";
import { trainingSample } from "../../../tools/train/corpus/mix.ts";
import { openGreedy, type Greedy } from "../../../tools/train/engine.ts";
import { FIRST_TOKENS, LAST_TOKENS } from "../../../tools/train/template.ts";

const tokenizer = readTokenizer();
let engine: Greedy;
let model: LlamaModel;

beforeAll(async () => {
  engine = await openGreedy(MODEL_PATH, 256);
  model = engine.model;
});
afterAll(() => engine.close());

const HAND_PICKED = [
  "",
  " ",
  "  ",
  "\n",
  "\r\n",
  " \n ",
  "\t",
  "a",
  " a",
  "  a",
  "a  ",
  "1",
  "12",
  "123",
  "1234",
  "12345678901",
  " 12 34",
  "3.14",
  "-5",
  "17+25=",
  "17 + 25 = ?",
  "Hello, world!",
  "don't",
  "I'm you're we'll",
  "snake_case",
  "camelCase",
  "https://example.com/a?b=c&d=1",
  "a@b.c",
  "(1+2)*3",
  "[x]{y}",
  "#tag $5 50%",
  "...",
  "?!?!",
  "--",
  "—",
  "“quoted”",
  "你好",
  "你好，世界！",
  "17加25等于多少？",
  "从1数到30",
  "日本語のテキスト",
  "カタカナー",
  "한국어 텍스트",
  "中文english混合123",
  "，。！？；：",
  "、",
  "　全角　空格",
  "１２３",
  "naïve café",
  "Ünïcödé",
  "Здравствуйте",
  "Γειά σου",
  "مرحبا",
  "שלום",
  "ไทย",
  "हिन्दी",
  "😀",
  "👨‍👩‍👧",
  "a😀b",
  "🇨🇳",
  "e\u0301",
  "x²",
  "½",
  "→",
  "×÷−",
  "\u00a0",
  "a\u00a0b",
  "\u2028",
  "Ⅳ",
  "\u0000",
  "tab\tbetween",
  "line\nbreak\n\nbreak",
  "  two  spaces  ",
  "trailing \n",
  "\n\n\nthree",
  "if (x) {\n    return 1;\n}",
  "SELECT * FROM t;",
  "1,000,000",
  "10:30",
  "2026-11-23",
];

/** Texts nobody would write: code points from many blocks, in any order. */
function wildTexts(count: number): string[] {
  const dice = new Dice(99);
  const blocks = [
    [0x20, 0x7e],
    [0x30, 0x39],
    [0x20, 0x20],
    [0xa1, 0x24f],
    [0x370, 0x3ff],
    [0x400, 0x4ff],
    [0x3041, 0x30ff],
    [0x4e00, 0x9fa5],
    [0xac00, 0xd7a3],
    [0x1f300, 0x1f64f],
    [0xa, 0xa],
  ] as const;
  const one = (): string => {
    const [low, high] = dice.pick(blocks);
    return String.fromCodePoint(dice.int(low, high));
  };
  return Array.from({ length: count }, () => Array.from({ length: dice.int(1, 24) }, one).join(""));
}

function corpusTexts(count: number): string[] {
  const dice = new Dice(5);
  return Array.from({ length: count }, () => {
    const sample = trainingSample(dice);
    return `${sample.user} ${sample.thought}${sample.answer}`;
  });
}

test.each([
  ["hand-picked", HAND_PICKED],
  ["corpus", corpusTexts(150)],
  ["wild", wildTexts(250)],
])("%s texts give the ids that llama.cpp gives", (_, texts) => {
  const differing = texts.filter((text) => {
    const theirs = Array.from(model.tokenize(text, false, "trimLeadingSpace"), Number);
    return JSON.stringify(tokenizer.encodePlain(text)) !== JSON.stringify(theirs);
  });
  expect(differing).toEqual([]);
});

test("decoding gives the text back, byte for byte", () => {
  for (const text of [...HAND_PICKED, ...corpusTexts(100), ...wildTexts(100)]) {
    expect(tokenizer.decode(tokenizer.encodePlain(text))).toBe(text);
  }
});

test("special tokens: same ids in the file, one token each, and never made from plain text", () => {
  for (const { text } of [...FIRST_TOKENS, ...LAST_TOKENS]) {
    const id = tokenizer.id(text);
    expect(tokenizer.encode(text)).toEqual([id]);
    expect(Array.from(model.tokenize(text, true), Number)).toEqual([id]);
    expect(tokenizer.encodePlain(text)).not.toContain(id);
  }
  expect([model.tokens.bos, model.tokens.eos].map(Number)).toEqual([0, 1]);
});

test("numbers are spelled digit by digit", () => {
  expect(tokenizer.encodePlain("12345")).toEqual(Array.from("12345", (digit) => tokenizer.id(digit)));
});
