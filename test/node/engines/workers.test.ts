/** How many threads of libuv the engine's process is given. */
import { describe, test } from "vitest";
import { workersFor, worksInOrder } from "../../../gpu-node/src/engines/llama/workers.ts";

describe("the engine's threads beside the computing ones", () => {
  test.for<[string, Parameters<typeof workersFor>[0], number]>([
    ["a small vocabulary", { slots: 32, vocabularyTokens: 1_024, embeddings: false, cores: 2 }, 1],
    [
      "DeepSeek's vocabulary, many slots",
      { slots: 32, vocabularyTokens: 129_280, embeddings: false, cores: 2 },
      4,
    ],
    ["the same with many cores", { slots: 32, vocabularyTokens: 129_280, embeddings: false, cores: 64 }, 16],
    [
      "a vocabulary of 32,000, two slots",
      { slots: 2, vocabularyTokens: 32_000, embeddings: false, cores: 2 },
      1,
    ],
    ["embeddings beside answers", { slots: 1, vocabularyTokens: 1_024, embeddings: true, cores: 2 }, 4],
  ])("%s", ([, of, workers], { expect }) => {
    expect(workersFor(of)).toBe(workers);
  });

  test("only a process that was given one is taken to work in order", ({ expect }) => {
    expect(worksInOrder({ UV_THREADPOOL_SIZE: "1" })).toBe(true);
    expect(worksInOrder({ UV_THREADPOOL_SIZE: "4" })).toBe(false);
    expect(worksInOrder({})).toBe(false);
  });
});
