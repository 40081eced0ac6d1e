/**
 * A node in front of a server that does not take a task: what its edge, its receipts and its own clients are told. The peer's wire is
 * vLLM's, which refuses with a status before anything is made.
 */
import { describe, expect, test } from "vitest";
import type { Engine } from "../../../gpu-node/src/engines/engine.ts";
import { createEmbeddingEngine } from "../../../gpu-node/src/engines/http/embedding-engine.ts";
import { createHttpEngine } from "../../../gpu-node/src/engines/http/engine.ts";
import { type Answer, modelFolder, type ScriptedServer, scriptedServer } from "../support/scripted-server.ts";
import { type TestNode, useNode } from "./support/node.ts";
import { readEvents } from "./support/reading.ts";

type Fronted = TestNode & { readonly peer: ScriptedServer };

const vectors: Answer = { events: [], json: { data: [{ index: 0, embedding: [1, 0] }] } };
const MAKERS = { answers: createHttpEngine, embeddings: createEmbeddingEngine };

async function open(makes: keyof typeof MAKERS, answer: Answer, standalone = false): Promise<Fronted> {
  const peer = await scriptedServer();
  peer.answer = () => vectors;
  const engine: Engine = await MAKERS[makes]({
    model: "m",
    server: "vllm",
    url: peer.url,
    weightsPath: modelFolder(),
    startWithinMs: 5_000,
  });
  const node = await useNode({ open: engine, standalone });
  peer.answer = () => answer;
  return { ...node, peer };
}

const CHAT = { model: "m", messages: [{ role: "user", content: "hi" }], max_tokens: 4 };
const EMBED = { model: "m", input: "hi" };
const TEXT = { body: CHAT, head: { model: "m" } };
const VECTOR = {
  body: EMBED,
  head: { model: "m", dialect: "openai.embedding" as const, stream: false },
  path: "/v1/embeddings",
};

describe("a task that the server refuses", () => {
  for (const [makes, call] of [
    ["answers", TEXT],
    ["embeddings", VECTOR],
  ] as const)
    test(`of ${makes} is told as that, and no engine has died of it`, async () => {
      const { edge, url, logged, workshop } = await open(makes, { events: [], status: 400 });
      const response = await edge.call(url, call);
      const seen = readEvents(await response.text());
      expect(seen.notes.at(-1)).toMatchObject({ to: 0, ended: "engine_died", refused: true });
      expect(await edge.receipt(response.request)).toMatchObject({ ended: "engine_died", to: 0, prompt: 0 });
      expect(logged.join("\n")).toContain('"event":"engine_refused"');
      expect(logged.join("\n")).not.toContain('"event":"engine_failed"');
      expect(workshop.ready).toBe(true);
    });

  test("is the client's own affair where the node stands alone", async () => {
    const { url } = await open("answers", { events: [], status: 400 }, true);
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(CHAT),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "engine_refused" } });
  });
});

describe("a task for which the server has no room", () => {
  for (const [makes, call] of [
    ["answers", TEXT],
    ["embeddings", VECTOR],
  ] as const)
    test(`of ${makes} is told as that, with the server's own wait`, async () => {
      const { edge, url } = await open(makes, { events: [], status: 429, retryAfterS: 7 });
      const response = await edge.call(url, call);
      const seen = readEvents(await response.text());
      expect(seen.notes.at(-1)).toMatchObject({ to: 0, ended: "no_room", retryAfterMs: 7_000 });
      expect(await edge.receipt(response.request)).toMatchObject({ ended: "no_room", to: 0 });
    });

  test("may be tried again by a client of the node alone, and it is told when", async () => {
    const { url } = await open("embeddings", { events: [], status: 429, retryAfterS: 7 }, true);
    const response = await fetch(`${url}/v1/embeddings`, { method: "POST", body: JSON.stringify(EMBED) });
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "7"]);
    expect(await response.json()).toMatchObject({ error: { code: "no_room", type: "overloaded_error" } });
  });

  test("not even to count its prompt, is not begun", async () => {
    const { edge, url, peer } = await open("embeddings", vectors);
    peer.tokenizeStatus = 429;
    const response = await edge.call(url, VECTOR);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ refusal: { kind: "queue_full" } });
  });
});
