/** Embeddings of the bundled model: of unit length, the same every time, and told apart by what the text says. */
import { afterAll, beforeAll, describe, onTestFinished, test } from "vitest";
import type { LlamaEngine } from "../../../gpu-node/src/engines/llama/engine.ts";
import { embeddingProblem, unitVector } from "../../../gpu-node/src/engines/llama/embedder.ts";
import { collect, tokensOf } from "../engine-contract.ts";
import { openLlama } from "./weights-under-test.ts";

const never = new AbortController().signal;

describe("the embedded engine", () => {
  let engine: LlamaEngine;
  beforeAll(async () => {
    engine = await openLlama({ slots: 1, contextTokens: 1_024, threads: 1, embeddings: true });
  });
  afterAll(() => engine.close());

  const vectors = async (texts: readonly string[], signal = never): Promise<readonly Float32Array[]> => {
    const inputs = await Promise.all(texts.map((text) => engine.encodeText(text)));
    const made: Float32Array[] = [];
    for await (const vector of engine.embed?.(inputs, signal) ?? []) made.push(vector);
    return made;
  };
  const cosine = (a: Float32Array | undefined, b: Float32Array | undefined): number =>
    [...(a ?? [])].reduce((sum, number, at) => sum + number * (b?.[at] ?? 0), 0);

  test("gives unit vectors that depend on the text alone, however they are asked for", async ({ expect }) => {
    const long = "What is 17 + 25? ".repeat(60);
    const [one, near, far, whole] = await vectors(["What is 17 + 25?", "What is 17 + 26?", "你好", long]);
    expect(one).toHaveLength(engine.info.embedding?.dimensions ?? 0);
    for (const vector of [one, near, far, whole]) expect(Math.hypot(...(vector ?? []))).toBeCloseTo(1, 5);
    expect(cosine(one, near)).toBeGreaterThan(0.9);
    expect(cosine(one, far)).toBeLessThan(0.5);
    const again = await vectors([long, "What is 17 + 25?"]);
    expect(cosine(again[0], whole)).toBeCloseTo(1, 5);
    expect(cosine(again[1], one)).toBeCloseTo(1, 5);
  });

  test("answers beside it, and is stopped in the middle", async ({ expect }) => {
    const prompt = await engine.encodeChat({
      messages: [{ role: "user", content: "1 + 1?" }],
      thinking: false,
    });
    const task = {
      prompt,
      delivered: [],
      outputTokensMax: 12,
      sampling: { temperature: 0, topP: 1 },
      tag: "",
    };
    const alone = tokensOf(await collect(engine.generate(task, never))).map(({ id }) => id);
    const [beside] = await Promise.all([collect(engine.generate(task, never)), vectors(["x ".repeat(400)])]);
    expect(tokensOf(beside).map(({ id }) => id)).toEqual(alone);
    const leave = new AbortController();
    const made = vectors(
      Array.from({ length: 50 }, () => "y ".repeat(400)),
      leave.signal,
    );
    setTimeout(() => leave.abort(new Error("left")), 30);
    await expect(made).rejects.toThrow();
    expect(await vectors(["z"])).toHaveLength(1);
  });

  test("fails what it embeds when its process dies, and embeds again when it is back", async ({ expect }) => {
    const made = vectors(Array.from({ length: 50 }, () => "y ".repeat(400)));
    const failed = expect(made).rejects.toMatchObject({ kind: "engine_died" });
    process.kill(engine.pid ?? 0, "SIGKILL");
    await failed;
    await expect.poll(() => engine.ready, { timeout: 20_000, interval: 10 }).toBe(true);
    expect(await vectors(["z"])).toHaveLength(1);
  });
});

test("without being told to, no embeddings are offered", async ({ expect }) => {
  const engine = await openLlama({ slots: 1, contextTokens: 256, threads: 1 });
  onTestFinished(() => engine.close());
  expect(engine.info.features).not.toContain("embeddings");
  expect(engine.info.embedding).toBeUndefined();
});

test("weights that were trained for something else are refused in words", ({ expect }) => {
  const weights = (values: Record<string, string | number | boolean>) => ({
    metadata: new Map(Object.entries({ "general.architecture": "x", ...values })),
  });
  expect(embeddingProblem(weights({}))).toBeUndefined();
  expect(embeddingProblem(weights({ "x.pooling_type": 3 }))).toBeUndefined();
  expect(embeddingProblem(weights({ "x.pooling_type": 1 }))).toContain("pooled over all tokens");
  expect(embeddingProblem(weights({ "x.attention.causal": false }))).toContain("see both ways");
  expect([...unitVector([3, 4])]).toEqual([expect.closeTo(0.6, 6), expect.closeTo(0.8, 6)]);
  expect([...unitVector([0, 0])]).toEqual([0, 0]);
});
