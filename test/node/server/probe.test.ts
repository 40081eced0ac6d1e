/** A probe has the engine make one token: for whoever holds the node's call key, now and then, and at nobody's cost. */
import { ProbeAnswer, probePath, PROBE_INTERVAL_MIN_MS } from "@sluice/protocol/probe";
import { describe, expect, test } from "vitest";
import type { Engine } from "../../../gpu-node/src/engines/engine.ts";
import { createEmbeddingEngine } from "../../../gpu-node/src/engines/http/embedding-engine.ts";
import { createHttpEngine } from "../../../gpu-node/src/engines/http/engine.ts";
import { createTextEngine } from "../../../gpu-node/src/engines/http/text-engine.ts";
import { createScriptEngine } from "../../../gpu-node/src/engines/script/engine.ts";
import { openLlama } from "../engines/weights-under-test.ts";
import { type Answer, modelFolder, type ScriptedServer, scriptedServer } from "../support/scripted-server.ts";
import { useNode } from "./support/node.ts";

test("an edge's probe makes one token, which is in no journal and no beat", async () => {
  const { url, edge, node } = await useNode();
  const path = probePath("script", edge.nowMs);
  const response = await edge.get(url, path);
  expect(response.status).toBe(200);
  expect(ProbeAnswer.parse(await response.json())).toMatchObject({ model: "script", tokens: 1 });
  const beats = edge.beats.length;
  await edge.until(() => edge.beats.length > beats + 1, "two more beats");
  expect(edge.receipts.size).toBe(0);
  expect(edge.beats.at(-1)).toMatchObject({
    load: { slotsBusy: 0 },
    models: [{ features: expect.arrayContaining(["probe"]) }],
  });
  expect(await (await fetch(`${url}/metrics`)).text()).toContain(
    'sluice_node_probes_total{result="answered"} 1',
  );
  expect(node.life.state).toBe("ready");
});

test("the next probe has to wait: a node spends no more than a token a second on them", async () => {
  const { url, edge } = await useNode();
  expect((await edge.get(url, probePath("script", edge.nowMs))).status).toBe(200);
  const second = await edge.get(url, probePath("script", edge.nowMs));
  expect(second.status).toBe(503);
  expect(await second.json()).toEqual({
    refusal: { kind: "queue_full", retryAfterMs: PROBE_INTERVAL_MIN_MS },
  });
});

test("a probe that no edge of ours made, or made long ago, or for another model, is refused", async () => {
  const { url, edge } = await useNode();
  const kindOf = async (response: Response): Promise<string> =>
    ((await response.json()) as { refusal: { kind: string } }).refusal.kind;
  expect(await kindOf(await fetch(url + probePath("script", edge.nowMs)))).toBe("bad_mac");
  expect(await kindOf(await edge.get(url, probePath("script", edge.nowMs - 60_000)))).toBe("stale");
  expect(await kindOf(await edge.get(url, probePath("other", edge.nowMs)))).toBe("unknown_model");
});

describe("an engine of any kind, where it is well, passes", () => {
  const TOLD = { choices: [{ index: 0, delta: { content: "Hi" }, finish_reason: "length" }] };
  const ONE = { choices: [{ index: 0, text: "x", token_ids: [30], finish_reason: "length" }] };
  const VECTOR = { data: [{ index: 0, embedding: [1, 0] }] };

  async function front(answer: Answer, open: (peer: ScriptedServer) => Promise<Engine>): Promise<Engine> {
    const peer = await scriptedServer();
    peer.answer = () => answer;
    return open(peer);
  }
  const told = { model: "m", startWithinMs: 5_000 };
  const kinds: Readonly<Record<string, () => Promise<Engine>>> = {
    "the scripted one": async () => createScriptEngine(),
    "the embedded one": () => openLlama({ model: "m", slots: 1, contextTokens: 256, threads: 1 }),
    "the embedded one that makes embeddings, too": () =>
      openLlama({ model: "m", slots: 1, contextTokens: 256, threads: 1, embeddings: true }),
    "a server of token ids": () =>
      front({ events: [ONE] }, ({ url }) =>
        createHttpEngine({ ...told, url, server: "vllm", weightsPath: modelFolder() }),
      ),
    "a server that makes embeddings and answers nothing": () =>
      front({ events: [], json: VECTOR }, ({ url }) =>
        createEmbeddingEngine({ ...told, url, server: "vllm", weightsPath: modelFolder() }),
      ),
    "a server that shows no tokens": () =>
      front({ events: [TOLD] }, ({ url }) => createTextEngine({ ...told, url })),
  };
  test.each(Object.entries(kinds))("%s", async (_kind, open) => {
    const engine = await open();
    const { url, edge } = await useNode({ open: engine });
    const response = await edge.get(url, probePath(engine.info.model, edge.nowMs));
    expect([response.status, await response.json()]).toMatchObject([200, { tokens: 1 }]);
  });
});
