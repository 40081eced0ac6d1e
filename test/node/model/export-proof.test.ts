/**
 * The bundled file still says what PyTorch said when the model was trained.
 *
 * `export-proof.json` holds prompts and PyTorch's greedy tokens. The same weights in F32 give every one of them (see
 * the model card); the shipped Q8_0 file is rounded, so a prompt may part from the record where two tokens were nearly
 * equal. Which ones do was measured and is listed here: any other difference, and any that vanishes, fails.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { MODEL_PATH, readTokenizer } from "../../../tools/train/bundled.ts";
import { openGreedy, type Greedy } from "../../../tools/train/engine.ts";
import { differing, readRecord } from "../../../tools/train/proof.ts";
import { render } from "../../../tools/train/template.ts";

const tokenizer = readTokenizer();
const record = readRecord();
let engine: Greedy;

beforeAll(async () => {
  engine = await openGreedy(MODEL_PATH);
});
afterAll(() => engine.close());

/** CPUs sum in different orders: a prompt whose two best tokens come this near may fall either way. */
const NEARLY_EQUAL = 0.5;
const MUST_MATCH_AT_LEAST = 74;

test("the record is large enough to prove something", () => {
  expect(record.prompts.length).toBe(76);
  expect(record.prompts.reduce((sum, p) => sum + p.greedy.length, 0)).toBeGreaterThan(3000);
});

test("the prompts' ids are still those of the tokenizer", () => {
  for (const { text, ids } of record.prompts) expect(tokenizer.encode(text)).toEqual(ids);
});

test("greedy continuations of the shipped file equal PyTorch's", async () => {
  const wrong = await differing(engine, record);
  expect(record.prompts.length - wrong.length).toBeGreaterThanOrEqual(MUST_MATCH_AT_LEAST);
  const unexcused = wrong.filter((i) => (record.prompts[i]?.lead ?? 0) > NEARLY_EQUAL);
  expect(unexcused.map((i) => record.prompts[i]?.text)).toEqual([]);
});

test("the comparison can fail: one changed token is noticed", async () => {
  const [first] = record.prompts;
  if (!first) throw new Error("empty record");
  const changed = { ...first, greedy: first.greedy.map((id, i) => (i === 2 ? id + 1 : id)) };
  expect(await differing(engine, { ...record, prompts: [changed] })).toEqual([0]);
});

const numbers = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i).join(", ");

test.each([
  ["What is 17 + 25?", true, "17 + 25 = 42."],
  ["17加25等于多少？", true, "17 + 25 = 42。"],
  [
    "Who are you?",
    false,
    "I am sluice-tiny, a very small language model trained from scratch. I can do simple arithmetic in English and Chinese.",
  ],
  ["Count from 1 to 40", false, `${numbers(1, 40)}.`],
  ["Count from 1 to 100.", false, `${numbers(1, 100)}.`],
  ["从1数到30", false, `${numbers(1, 30).replaceAll(", ", "、")}。`],
])("%s (thinking: %s)", async (question, thinking, answer) => {
  const [written] = await engine.run([tokenizer.encode(render("", [], question, thinking))], 450);
  expect(
    tokenizer
      .decode(written ?? [])
      .split("</think>")
      .at(-1),
  ).toBe(answer);
});
