/** One node with two real models behind the edge: chats go to the one that is named, and embeddings are billed by their prompt. */
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack } from "../support/stack.ts";

const BUNDLED = "gpu-node/models/sluice-tiny.gguf";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  const models = [`first=${BUNDLED}`, `second=${BUNDLED}`];
  platform = await temporaryPlatform({
    engine: "llama",
    models,
    nodeArgs: ["--slots", "2", "--threads", "1"],
  });
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());

test("the SDK gets embeddings in the order of its texts, and the row bills their tokens and nothing else", async () => {
  const tenant = await stack.tenant();
  const openai = stack.sdk(tenant);
  const input = ["What is 17 + 25?", "What is 17 + 26?", "你好"];
  const { data, usage, model } = await openai.embeddings.create({ model: "first", input });
  expect([model, data.map(({ index }) => index)]).toEqual(["first", [0, 1, 2]]);
  const [one = [], near = [], far = []] = data.map(({ embedding }) => embedding);
  const cosine = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, number, at) => sum + number * (b[at] ?? 0), 0);
  expect(cosine(one, one)).toBeCloseTo(1, 5);
  expect(cosine(one, near)).toBeGreaterThan(cosine(one, far));
  const row = await stack.onlyRow(tenant, 5_000);
  expect(row).toMatchObject({
    model: "first",
    certainty: "exact",
    ended: "stop",
    promptTokens: usage.prompt_tokens,
    cachedTokens: 0,
    completionTokens: 0,
  });
  expect(row.costNanoUsd).toBe(usage.prompt_tokens * 100);
  expect(await stack.settled(tenant, 5_000)).toBe(10_000_000_000 - row.costNanoUsd);
});

test("more inputs than fit one context are one bill, and token ids are taken as they are", async () => {
  const tenant = await stack.tenant();
  const input = Array.from({ length: 200 }, (_, at) =>
    Array.from({ length: 50 }, (_, id) => 300 + ((at + id) % 200)),
  );
  const { data, usage } = await stack.sdk(tenant).embeddings.create({ model: "second", input });
  expect(data).toHaveLength(200);
  expect(usage).toEqual({ prompt_tokens: 10_000, total_tokens: 10_000 });
  expect(await stack.onlyRow(tenant, 5_000)).toMatchObject({
    model: "second",
    promptTokens: 10_000,
    certainty: "exact",
  });
});

test("what a node refuses of an input names the field, and costs nothing", async () => {
  const tenant = await stack.tenant();
  const openai = stack.sdk(tenant);
  const wishes = [
    [{ input: "x", dimensions: 7 }, "unsupported_parameter", "dimensions"],
    [{ input: ["x", ""], encoding_format: "hex" as never }, "invalid_request", "encoding_format"],
    [{ input: [[5], [999_999]] }, "invalid_request", "input[1]"],
  ] as const;
  for (const [wish, code, param] of wishes) {
    const asked = { model: "first", ...wish } as unknown as OpenAI.EmbeddingCreateParams;
    await expect(openai.embeddings.create(asked)).rejects.toMatchObject({ status: 400, code, param });
  }
  expect(await stack.settled(tenant, 5_000)).toBe(10_000_000_000);
});

test("both models answer by their names, and the list says what each can do", async () => {
  const tenant = await stack.tenant();
  const openai = stack.sdk(tenant);
  for (const model of ["first", "second"]) {
    const answer = await openai.chat.completions.create({
      model,
      temperature: 0,
      messages: [{ role: "user", content: "What is 17 + 25?" }],
    });
    expect(answer).toMatchObject({ model, choices: [{ finish_reason: "stop" }] });
  }
  const { data } = await openai.models.list();
  for (const id of ["first", "second"])
    expect(data.find((model) => model.id === id)).toMatchObject({
      features: expect.arrayContaining(["embeddings", "tools"]) as string[],
    });
});
