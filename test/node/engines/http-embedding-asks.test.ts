/**
 * What the http engine makes of a server of embeddings that is slow, odd or left. The peer's wire is /v1/embeddings as vLLM and SGLang
 * have it; http-embedding.test.ts has a real llama-server.
 */
import { onTestFinished, test, vi } from "vitest";
import type { Engine } from "../../../gpu-node/src/engines/engine.ts";
import { createEmbeddingEngine } from "../../../gpu-node/src/engines/http/embedding-engine.ts";
import { type Answer, modelFolder, type ScriptedServer, scriptedServer } from "../support/scripted-server.ts";

const INPUTS = [[5], [6, 7]];
const never = new AbortController().signal;

type Opened = { readonly engine: Engine; readonly peer: ScriptedServer; readonly logged: string[] };

const vectorsAt = (...places: readonly number[]): Answer => ({
  events: [],
  json: { data: places.map((index) => ({ index, embedding: [index, 1] })) },
});

async function open(): Promise<Opened> {
  const peer = await scriptedServer();
  peer.answer = () => vectorsAt(0);
  const logged: string[] = [];
  const engine = await createEmbeddingEngine({
    model: "m",
    server: "vllm",
    url: peer.url,
    weightsPath: modelFolder(),
    startWithinMs: 5_000,
    log: (line) => logged.push(line),
  });
  onTestFinished(() => engine.close());
  return { engine, peer, logged };
}

async function vectors(engine: Engine, signal = never): Promise<readonly number[][]> {
  const made: number[][] = [];
  for await (const vector of engine.embed?.(INPUTS, signal) ?? []) made.push([...vector]);
  return made;
}

/** The next patience that begins is over at once. */
function loseOnePatience(): void {
  const spy = vi.spyOn(AbortSignal, "timeout").mockReturnValueOnce(AbortSignal.abort());
  onTestFinished(() => spy.mockRestore());
}

test("a batch has as long as its call: no patience of this engine's own ends it", async ({ expect }) => {
  const { engine, peer } = await open();
  peer.answer = () => vectorsAt(1, 0);
  loseOnePatience();
  expect(await vectors(engine)).toEqual([
    [0, 1],
    [1, 1],
  ]);
});

test("an answer with too few vectors, or two for one place, fails that call and nobody else's", async ({
  expect,
}) => {
  const { engine, peer, logged } = await open();
  peer.answer = () => ({ events: [], open: true });
  const leaving = new AbortController();
  const neighbour = vectors(engine, leaving.signal);
  await expect.poll(() => peer.asks.length, { interval: 5 }).toBe(2);
  for (const places of [[0], [0, 0], [0, 1, 2], [1, 2]]) {
    peer.answer = () => vectorsAt(...places);
    await expect(vectors(engine)).rejects.toMatchObject({ kind: "failed" });
    expect(engine.ready).toBe(true);
  }
  expect(logged.join()).not.toContain("is lost");
  leaving.abort(new Error("left"));
  await expect(neighbour).rejects.toThrow("left");
});

// Sooner than any patience of the engine's would take it.
test("a caller that leaves takes its batch along", { timeout: 10_000 }, async ({ expect }) => {
  const { engine, peer } = await open();
  peer.answer = () => ({ events: [], open: true });
  const leaving = new AbortController();
  const left = expect(vectors(engine, leaving.signal)).rejects.toThrow("left");
  await expect.poll(() => peer.asks.length, { interval: 5 }).toBe(2);
  leaving.abort(new Error("left"));
  await left;
  await peer.asks[1]?.left;
  expect(engine.ready).toBe(true);
});

test("a tokenizer that is slow fails one call, and nobody's vectors", async ({ expect }) => {
  const { engine, peer, logged } = await open();
  loseOnePatience();
  await expect(engine.encodeText("hi")).rejects.toMatchObject({ kind: "failed" });
  peer.answer = () => vectorsAt(0, 1);
  expect(await vectors(engine)).toHaveLength(2);
  expect(logged.join()).not.toContain("is lost");
});
