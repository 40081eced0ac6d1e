/**
 * The GGUF writer: number formats bit by bit, and whole files that llama.cpp must accept in every format and shape.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import { afterAll, expect, test } from "vitest";
import { openGreedy } from "../../../tools/train/engine.ts";
import { quantize, toHalf } from "../../../tools/train/gguf/quantize.ts";
import { makeRandomModel, type RandomModelOptions } from "../../../tools/train/random.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-gguf-"));
afterAll(() => rmSync(directory, { recursive: true }));

test.each([
  [0, 0x0000],
  [-0, 0x8000],
  [1, 0x3c00],
  [-2, 0xc000],
  [65504, 0x7bff],
  [65519, 0x7bff],
  [65520, 0x7c00],
  [Infinity, 0x7c00],
  [NaN, 0x7e00],
  [2 ** -14, 0x0400],
  [2 ** -24, 0x0001],
  [2 ** -25, 0x0000],
  [1.5 * 2 ** -24, 0x0002],
  [1 + 2 ** -11, 0x3c00],
  [1 + 3 * 2 ** -11, 0x3c02],
  [0.1, 0x2e66],
])("toHalf(%d)", (value, bits) => {
  expect(toHalf(value)).toBe(bits);
});

test("Q8_0: the largest value of a block becomes 127 and halves round away from zero", () => {
  const values = new Float32Array(32);
  values.set([127, -127, 0.5, -0.5, 1.49, -1.5]);
  const bytes = new DataView(quantize(values, "Q8_0").buffer);
  expect(bytes.byteLength).toBe(34);
  expect(bytes.getUint16(0, true)).toBe(toHalf(1));
  expect([0, 1, 2, 3, 4, 5, 6].map((i) => bytes.getInt8(2 + i))).toEqual([127, -127, 1, -1, 1, -2, 0]);
});

test("Q8_0 of zeros is zeros, and a partial block is refused", () => {
  expect(quantize(new Float32Array(64), "Q8_0").every((byte) => byte === 0)).toBe(true);
  expect(() => quantize(new Float32Array(33), "Q8_0")).toThrow("whole blocks");
});

const SHAPES: readonly (readonly [string, RandomModelOptions])[] = [
  ["the default", {}],
  ["F32", { quant: "F32", layers: 2 }],
  ["F16 without expert groups", { quant: "F16", experts: 6, groups: 1, expertsUsed: 3 }],
  ["wider, with more words", { dModel: 256, heads: 8, experts: 16, expertsUsed: 4, vocabularySize: 2000 }],
];

test.each(SHAPES)("a random model loads and runs: %s", async (name, options) => {
  const path = join(directory, `${name.replaceAll(" ", "-")}.gguf`);
  writeFileSync(path, makeRandomModel(options));
  const info = await readGgufFileInfo(path);
  expect(info.metadata.general.architecture).toBe("deepseek2");
  const engine = await openGreedy(path, 256);
  const [written] = await engine.run([[0, 50, 60, 70]], 20);
  await engine.close();
  expect(written?.length).toBeGreaterThan(0);
});

test("the same options give the same bytes, another seed gives others", () => {
  const bytes = (seed: number): Buffer => Buffer.from(makeRandomModel({ layers: 2, seed }));
  expect(bytes(3).equals(bytes(3))).toBe(true);
  expect(bytes(3).equals(bytes(4))).toBe(false);
});

test("layer counts that the loader reads as other models are refused", () => {
  expect(() => makeRandomModel({ layers: 27 })).toThrow("another model");
});
