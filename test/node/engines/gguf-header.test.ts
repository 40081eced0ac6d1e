/** Damaged and foreign weight files are told from good ones before llama.cpp sees them. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, onTestFinished, test } from "vitest";
import { EngineFault } from "../../../gpu-node/src/engines/engine.ts";
import { createLlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";
import { type ByteSource, GgufProblem } from "../../../gpu-node/src/weights/byte-source.ts";
import { checkGguf } from "../../../gpu-node/src/weights/gguf-check.ts";
import { type GgufHeader, readGgufHeader } from "../../../gpu-node/src/weights/gguf-header.ts";
import { shardPaths } from "../../../gpu-node/src/weights/shards.ts";
import { WEIGHTS_PATH } from "./weights-under-test.ts";

/** Loads in a child process; each takes most of a second, so the pure reader takes the thousands. */
const LOADED_MUTANTS = 5;
const READ_MUTANTS = 3_000;

function bufferSource(bytes: Uint8Array): ByteSource {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { size: buffer.length, read: (offset, length) => buffer.subarray(offset, offset + length) };
}

let weights: Buffer;
let header: GgufHeader;
beforeAll(async () => {
  weights = await readFile(WEIGHTS_PATH);
  header = readGgufHeader(bufferSource(weights));
});

/** The sentence a damaged file gets, or undefined where it still reads as a model. */
function verdict(bytes: Uint8Array): string | undefined {
  return verdictOn(bufferSource(bytes));
}

function verdictOn(source: ByteSource): string | undefined {
  try {
    return checkGguf(readGgufHeader(source));
  } catch (error) {
    if (error instanceof GgufProblem) return error.message;
    throw error;
  }
}

function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(weights);
  change(bytes);
  return bytes;
}

describe("the header of a GGUF file", () => {
  test("of the bundled model is read whole and found in order", ({ expect }) => {
    expect(checkGguf(header)).toBeUndefined();
    expect(header.metadata.get("general.architecture")).toBe("deepseek2");
    expect(header.tensors.get("token_embd.weight")?.shape).toHaveLength(2);
    const last = [...header.tensors.values()].at(-1);
    expect(header.dataStart + (last?.offset ?? 0) + (last?.bytes ?? 0)).toBeLessThanOrEqual(weights.length);
  });

  const damages: readonly { name: string; bytes: () => Uint8Array; says: RegExp }[] = [
    { name: "an empty file", bytes: () => Buffer.alloc(0), says: /only 0 bytes/ },
    {
      name: "a web page",
      bytes: () => Buffer.from("<!doctype html><title>Sign in</title>"),
      says: /web page/,
    },
    {
      name: "a git-lfs pointer",
      bytes: () => Buffer.from("version https://git-lfs.github.com/spec/v1\n"),
      says: /git lfs pull/,
    },
    {
      name: "a future version",
      bytes: () => changed((bytes) => bytes.writeUInt32LE(9, 4)),
      says: /version is 9/,
    },
    { name: "big-endian", bytes: () => changed((bytes) => bytes.writeUInt32BE(3, 4)), says: /big-endian/ },
    {
      name: "absurd counts",
      bytes: () => changed((bytes) => bytes.writeBigUInt64LE(1n << 60n, 8)),
      says: /no file can hold/,
    },
    {
      name: "many tensors",
      bytes: () => changed((bytes) => bytes.writeBigUInt64LE(1n << 40n, 8)),
      says: /tensors/,
    },
    {
      name: "an unfinished download",
      bytes: () => weights.subarray(0, weights.length - 5_000),
      says: /truncated/,
    },
    { name: "a cut in the header", bytes: () => weights.subarray(0, 500), says: /truncated|damaged/ },
  ];
  for (const { name, bytes, says } of damages) {
    test(`${name} is refused with a sentence that says so`, ({ expect }) => {
      expect(verdict(bytes())).toMatch(says);
    });
  }

  const contradictions: readonly { key: string; value: number | undefined; says: RegExp }[] = [
    { key: "deepseek2.feed_forward_length", value: undefined, says: /feed_forward_length/ },
    { key: "deepseek2.attention.head_count", value: 0, says: /head_count/ },
    { key: "deepseek2.attention.head_count_kv", value: 4, says: /head_count_kv/ },
    { key: "deepseek2.attention.key_length", value: 7, says: /key_length/ },
    { key: "deepseek2.rope.dimension_count", value: undefined, says: /rope/ },
    { key: "deepseek2.expert_count", value: undefined, says: /expert_count/ },
    { key: "deepseek2.expert_used_count", value: 1_000, says: /uses 1000/ },
    { key: "deepseek2.expert_group_used_count", value: undefined, says: /expert groups/ },
    { key: "deepseek2.block_count", value: 1_000_000, says: /block_count is 1000000/ },
    { key: "deepseek2.embedding_length", value: 12, says: /embedding/ },
    { key: "tokenizer.ggml.eos_token_id", value: undefined, says: /never stop/ },
    { key: "tokenizer.ggml.eos_token_id", value: 1_000_000, says: /vocabulary has/ },
  ];
  for (const { key, value, says } of contradictions) {
    test(`${key} ${value === undefined ? "missing" : `= ${value}`} is found before llama.cpp aborts on it`, ({
      expect,
    }) => {
      const metadata = new Map(header.metadata);
      if (value === undefined) metadata.delete(key);
      else metadata.set(key, value);
      expect(checkGguf({ ...header, metadata })).toMatch(says);
    });
  }

  test("cut or changed anywhere never does more harm than a sentence", ({ expect }) => {
    const place = fc.nat(header.dataStart - 1);
    const flips = fc.array(fc.tuple(place, fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(flips, fc.option(place), (changes, length) => {
        const head = Buffer.from(weights.subarray(0, header.dataStart));
        for (const [at, value] of changes) head[at] = value;
        const says = verdictOn({
          size: length ?? weights.length,
          read: (offset, count) =>
            offset + count <= head.length
              ? head.subarray(offset, offset + count)
              : Buffer.concat([
                  head.subarray(offset),
                  weights.subarray(Math.max(offset, head.length), offset + count),
                ]),
        });
        expect(says === undefined || says.length > 10).toBe(true);
      }),
      { numRuns: READ_MUTANTS },
    );
  });

  test("changed so that it still reads either loads or is refused as a bad model; this process lives on", async ({
    expect,
  }) => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-gguf-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const numbers = fc.array(
      fc.tuple(fc.integer({ min: 24, max: header.dataStart - 1 }), fc.integer({ min: 0, max: 255 })),
      { minLength: 1, maxLength: 2 },
    );
    const mutants = fc
      .sample(numbers, { numRuns: 40 * LOADED_MUTANTS, seed: 1 })
      .map((changes) =>
        changed((copy) => {
          for (const [at, value] of changes) copy[at] = value;
        }),
      )
      .filter((bytes) => verdict(bytes) === undefined)
      .slice(0, LOADED_MUTANTS);
    expect(mutants).toHaveLength(LOADED_MUTANTS);
    for (const [i, bytes] of mutants.entries()) {
      const weightsPath = join(folder, `${i}.gguf`);
      await writeFile(weightsPath, bytes);
      try {
        const engine = await createLlamaEngine({
          model: "mutant",
          weightsPath,
          gpu: false,
          slots: 1,
          contextTokens: 256,
        });
        await engine.close();
      } catch (error) {
        expect(error).toBeInstanceOf(EngineFault);
        expect(error).toMatchObject({ kind: "bad_model", message: expect.stringContaining(weightsPath) });
      }
    }
  });
});

test("a sharded model's files are known from the first one's name", ({ expect }) => {
  expect(shardPaths("/m/a-00001-of-00003.gguf")).toEqual([
    "/m/a-00001-of-00003.gguf",
    "/m/a-00002-of-00003.gguf",
    "/m/a-00003-of-00003.gguf",
  ]);
  expect(shardPaths("/m/a.gguf")).toEqual(["/m/a.gguf"]);
});
