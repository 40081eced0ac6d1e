/** The http engine in front of a real llama-server that was started for embeddings. */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { Engine } from "../../../gpu-node/src/engines/engine.ts";
import { createEmbeddingEngine } from "../../../gpu-node/src/engines/http/embedding-engine.ts";
import { findLlamaServer } from "../../../tools/llama-server.ts";
import { type RunningServer, runLlamaServer } from "../support/llama-server.ts";
import { openLlama, WEIGHTS_PATH } from "./weights-under-test.ts";

const found = findLlamaServer();
const CONTEXT_TOKENS = 512;
const never = new AbortController().signal;

async function vectors(engine: Engine, texts: readonly string[]): Promise<readonly Float32Array[]> {
  const inputs = await Promise.all(texts.map((text) => engine.encodeText(text)));
  const made: Float32Array[] = [];
  for await (const vector of engine.embed?.(inputs, never) ?? []) made.push(vector);
  return made;
}

if ("missing" in found) {
  test.skip(`embeddings of a fronted llama-server: ${found.missing}`, () => undefined);
} else {
  describe("a llama-server that makes embeddings", () => {
    let server: RunningServer;
    let engine: Engine;
    beforeAll(async () => {
      const more = ["--embeddings", "--pooling", "last"];
      server = await runLlamaServer(found.path, { slots: 2, contextTokens: CONTEXT_TOKENS, more });
      engine = await createEmbeddingEngine({
        model: "sluice-tiny",
        server: "llama-server",
        url: server.url,
        weightsPath: WEIGHTS_PATH,
        startWithinMs: 30_000,
      });
    });
    afterAll(async () => {
      await engine.close();
      await server.stop();
    });

    test("is one with the embedded engine: the same tokens and the same vectors", async ({ expect }) => {
      const embedded = await openLlama({
        slots: 1,
        contextTokens: CONTEXT_TOKENS,
        threads: 1,
        embeddings: true,
      });
      try {
        const texts = Array.from({ length: 20 }, (_, at) => `What is ${at} + 25, 你好?`);
        const [theirs, ours] = [await vectors(engine, texts), await vectors(embedded, texts)];
        expect(await engine.encodeText(texts[3] ?? "")).toEqual(await embedded.encodeText(texts[3] ?? ""));
        expect(theirs).toHaveLength(texts.length);
        for (const [at, vector] of theirs.entries())
          expect([...vector].reduce((sum, number, i) => sum + number * (ours[at]?.[i] ?? 0), 0)).toBeCloseTo(
            1,
            3,
          );
        expect(engine.info).toMatchObject({
          features: ["embeddings"],
          embedding: embedded.info.embedding,
          weights: embedded.info.weights,
        });
      } finally {
        await embedded.close();
      }
    });

    test("answers nothing, fails what it embeds when it dies, and comes back", async ({ expect }) => {
      await expect(engine.encodeChat({ messages: [], thinking: false })).rejects.toMatchObject({
        kind: "unsupported",
      });
      const made = vectors(
        engine,
        Array.from({ length: 200 }, () => "x ".repeat(100)),
      );
      const failed = expect(made).rejects.toMatchObject({ kind: "engine_died" });
      server.kill();
      await failed;
      await expect.poll(() => engine.ready, { timeout: 20_000, interval: 20 }).toBe(true);
      expect(await vectors(engine, ["again"])).toHaveLength(1);
    });
  });
}
