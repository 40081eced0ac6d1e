/** The load of an engine that is a server of its own: asked, shown, and missed aloud. */
import { describe, onTestFinished, test } from "vitest";
import { modelFolder, scriptedServer } from "../support/scripted-server.ts";
import { useNode } from "./support/node.ts";
import { Measures } from "../../../gpu-node/src/load/measures.ts";
import { createHttpEngine } from "../../../gpu-node/src/engines/http/engine.ts";
import { EngineLoad, type ServerLoad } from "../../../gpu-node/src/load/engine-load.ts";

describe("what a fronted server says of its load", () => {
  test("is known soon after the start, and when it stops being said, that is told once", async ({
    expect,
  }) => {
    const logged: string[] = [];
    const answers: (() => ServerLoad)[] = [() => ({ running: 3, waiting: 1, kvUsage: 0.5 })];
    const missing = (): ServerLoad => {
      throw new Error("the server has no metric x");
    };
    const load = new EngineLoad(
      async () => (answers.shift() ?? missing)(),
      (event) => logged.push(event),
    );
    onTestFinished(() => load.stop());
    await expect.poll(() => load.last?.running, { interval: 5 }).toBe(3);
    expect(load.failing).toBe(false);
    await expect.poll(() => load.failing, { timeout: 5_000 }).toBe(true);
    expect(load.last).toBeUndefined();
    expect(logged).toEqual(["engine_load_unknown"]);
  });

  test("is missed in the node's own metrics, where people look", ({ expect }) => {
    const print = (engineLoadFailing: boolean): string =>
      new Measures().print({
        models: [],
        journalBytes: 0,
        receiptsUnacknowledged: 0,
        loop: { p50S: 0, p99S: 0 },
        engineLoadFailing,
      });
    expect(print(true)).toContain("sluice_node_engine_load_unknown 1");
    expect(print(false)).toContain("sluice_node_engine_load_unknown 0");
  });

  test("is missed in the node's beats, which say that they know of its own calls alone", async ({
    expect,
  }) => {
    const peer = await scriptedServer();
    const engine = await createHttpEngine({
      model: "m",
      server: "vllm",
      url: peer.url,
      weightsPath: modelFolder(),
      startWithinMs: 5_000,
    });
    const { edge, url } = await useNode({ open: engine });
    await edge.until(() => edge.beats.at(-1)?.load.ownOnly === true, "a beat that says so");
    const health: unknown = await (await fetch(`${url}/health`)).json();
    expect(health).toMatchObject({ state: "ready", models: [{ load: "unknown" }] });
    peer.metrics = "vllm:num_requests_running 1\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.5";
    await edge.until(() => edge.beats.at(-1)?.load.ownOnly === undefined, "a beat that knows again");
  });
});
