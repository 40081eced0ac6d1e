/** Several models in one node, and what a reload does to them: with scripted engines, so that every moment can be chosen. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import OpenAI from "openai";
import { describe, expect, onTestFinished, test } from "vitest";
import { EngineFault, type Engine, type Opening } from "../../../gpu-node/src/engines/engine.ts";
import { createTextEngine } from "../../../gpu-node/src/engines/http/text-engine.ts";
import { createScriptEngine } from "../../../gpu-node/src/engines/script/engine.ts";
import { Lineup } from "../../../gpu-node/src/lineup.ts";
import type { EngineChoice } from "../../../gpu-node/src/model-config.ts";
import { scriptedServer } from "../support/scripted-server.ts";
import { useNode, type TestNode } from "./support/node.ts";
import { readEvents, scripted } from "./support/reading.ts";

const other = (change: object = {}): Engine =>
  createScriptEngine({ model: "other", weights: "other-1", slots: 2, ...change });

const saying = (model: string, directive: object): object => ({ ...scripted(directive), model });

const ask = ({ url, edge }: TestNode, model: string, directive: object) =>
  edge.call(url, { body: saying(model, directive), head: { model } });

describe("a node with two models", () => {
  test("answers each by name, and its receipts name the weights that made them", async () => {
    const node = await useNode({ beside: [other()] });
    for (const [model, weights] of [
      ["script", "script-1"],
      ["other", "other-1"],
    ] as const) {
      const response = await ask(node, model, { tokens: 2 });
      expect(readEvents(await response.text()).finish).toBe("stop");
      expect(await node.edge.receipt(response.request)).toMatchObject({ ended: "stop", to: 3, weights });
    }
    const stranger = await ask(node, "third", { tokens: 1 });
    expect(stranger.status).toBe(404);
  });

  test("tells the edge each one's load, and the sum of both", async () => {
    const node = await useNode({ beside: [other()] });
    const leave = new AbortController();
    const running = await node.edge.call(node.url, {
      body: saying("other", { endless: true, everyMs: 5 }),
      head: { model: "other" },
      signal: leave.signal,
    });
    const busy = (): boolean => node.edge.beats.at(-1)?.load.slotsBusy === 1;
    await node.edge.until(busy, "a beat that counts the running call");
    const beat = node.edge.beats.at(-1);
    expect(beat?.models).toMatchObject([
      { id: "script", load: { slots: 8, slotsBusy: 0 } },
      { id: "other", load: { slots: 2, slotsBusy: 1 } },
    ]);
    expect(beat?.load).toMatchObject({ slots: 10, slotsBusy: 1, queueMax: 16 });
    leave.abort();
    expect((await node.edge.receipt(running.request)).ended).toBe("client_gone");
  });

  test("loses the streams of one engine with it, and none of the other's", async () => {
    const node = await useNode({ beside: [other({ restartMs: 60_000 })] });
    const living = await ask(node, "script", { tokens: 60, everyMs: 5 });
    const dying = await ask(node, "other", { tokens: 9, dieAt: 3 });
    expect(readEvents(await dying.text()).notes.at(-1)?.ended).toBe("engine_died");
    // Its calls are told to come back; the other's are taken as ever, and the edge is told which is away, and for how long.
    const refused = await ask(node, "other", { tokens: 1 });
    expect([refused.status, await refused.json()]).toMatchObject([503, { refusal: { kind: "loading" } }]);
    expect(readEvents(await (await ask(node, "script", { tokens: 1 })).text()).finish).toBe("stop");
    expect(readEvents(await living.text())).toMatchObject({ finish: "stop", to: 61 });
    const wakeMs = (id: string): number | undefined =>
      node.edge.beats.at(-1)?.models.find((model) => model.id === id)?.wakeMs;
    await node.edge.until(() => wakeMs("other") !== undefined, "a beat that says when it is back");
    expect(wakeMs("other")).toBeGreaterThan(0);
    expect(wakeMs("script")).toBeUndefined();
    expect(node.edge.beats.at(-1)).toMatchObject({ state: "ready" });
  });

  test("has a full queue for one of them without refusing the other", async () => {
    const node = await useNode({ limits: { queueMax: 0 }, beside: [other({ slots: 1 })] });
    const first = await ask(node, "other", { endless: true, everyMs: 5 });
    const second = await ask(node, "other", { tokens: 1 });
    expect(await second.json()).toMatchObject({ refusal: { kind: "queue_full" } });
    expect(readEvents(await (await ask(node, "script", { tokens: 1 })).text()).finish).toBe("stop");
    await first.body?.cancel();
    await node.workshop.running.empty();
  });

  test("lists both to an SDK when it stands alone, with what each can do", async () => {
    const { url } = await useNode({ standalone: true, beside: [other()] });
    const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
    const { data } = await openai.models.list();
    expect(data.map(({ id }) => id)).toEqual(["script", "other"]);
    expect(data[0]).toMatchObject({ features: expect.arrayContaining(["resume"]) });
    const body = saying("other", { tokens: 1 }) as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const answer = await openai.chat.completions.create({ ...body, stream: false });
    expect(answer).toMatchObject({ model: "other", choices: [{ message: { content: "0 " } }] });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('sluice_node_slots{model="other"} 2');
  });
});

/* ---- reload ------------------------------------------------------------------------------------------------------- */

const choice = (modelId: string, contextTokens: number): EngineChoice => ({
  kind: "script",
  modelId,
  model: undefined,
  slots: undefined,
  contextTokens,
  threads: undefined,
  gpu: undefined,
  embeddings: false,
  memoryUnchecked: false,
  upstream: undefined,
  script: {},
});

type How = (choice: EngineChoice) => Engine | EngineFault;

/** A node whose models "a" and "b" came by a lineup; what opens them can be changed, and the weights "on disk" too. */
async function linedUp(drainMs = 10_000) {
  const node = await useNode();
  const disk: Record<string, string> = { a: "w1", b: "w1", c: "w1" };
  const opened: Engine[] = [];
  const closed: string[] = [];
  let opening: How = ({ modelId, contextTokens = 512 }) => {
    const engine = createScriptEngine({ model: modelId, weights: disk[modelId] ?? "w1", contextTokens });
    return Object.assign(engine, {
      close: () => Promise.resolve(void closed.push(`${modelId} ${engine.info.weights}`)),
    });
  };
  const usual = opening;
  const lineup = new Lineup({
    workshop: node.workshop,
    open: async (wanted) => {
      const engine = opening(wanted);
      if (engine instanceof EngineFault) throw engine;
      opened.push(engine);
      return engine;
    },
    digest: async ({ modelId }) => disk[modelId],
    told: () => node.node.told(),
    drainMs,
    log: node.workshop.log,
  });
  const models = [choice("a", 512), choice("b", 512)];
  await lineup.start(models);
  const station = (model: string) => node.workshop.stations.find((one) => one.model === model);
  return {
    ...node,
    node,
    lineup,
    models,
    disk,
    opened,
    closed,
    station,
    opens: (how: How) => (opening = how),
    usual,
  };
}

describe("a reload", () => {
  test("that finds nothing changed opens nothing", async () => {
    const { lineup, models, opened } = await linedUp();
    await lineup.reload(models);
    expect(opened).toHaveLength(2);
  });

  test("serves changed weights at once, and lets a running stream end on the old ones", async () => {
    const { node, edge, lineup, models, disk, closed } = await linedUp();
    const running = await ask(node, "a", { tokens: 80, everyMs: 5 });
    disk["a"] = "w2";
    const reloaded = lineup.reload(models);
    const shown = (): boolean => edge.beats.at(-1)?.models.some(({ weights }) => weights === "w2") === true;
    await edge.until(shown, "a beat with the new weights");
    const after = await ask(node, "a", { tokens: 1 });
    expect(readEvents(await after.text()).finish).toBe("stop");
    expect(closed).toEqual([]);
    expect(readEvents(await running.text())).toMatchObject({ finish: "stop", to: 81 });
    await reloaded;
    expect(closed).toEqual(["a w1"]);
    expect((await edge.receipt(running.request)).weights).toBe("w1");
    expect((await edge.receipt(after.request)).weights).toBe("w2");
  });

  test("moves a stream on that does not end within the drain's time", async () => {
    const { node, edge, lineup, models, disk } = await linedUp(0);
    const running = await ask(node, "a", { endless: true, everyMs: 5 });
    disk["a"] = "w2";
    await lineup.reload(models);
    expect(readEvents(await running.text()).notes.at(-1)?.ended).toBe("drained");
    expect(await edge.receipt(running.request)).toMatchObject({ ended: "drained", weights: "w1" });
  });

  test("of a bad file leaves the old weights serving, and /health says why", async () => {
    const { node, url, lineup, models, disk, opens, usual } = await linedUp();
    const bad = new EngineFault("bad_model", "a.gguf cannot be served: it is truncated.");
    [disk["a"], disk["b"]] = ["w2", "w2"];
    opens((wanted) => (wanted.modelId === "a" ? bad : usual(wanted)));
    await lineup.reload(models);
    const seen = readEvents(await (await ask(node, "a", { tokens: 1 })).text());
    expect(seen.finish).toBe("stop");
    const health = await (await fetch(`${url}/health`)).json();
    expect(health).toMatchObject({ state: "ready", failures: { a: bad.message } });
    expect(health).toMatchObject({ models: [{}, { id: "a", weights: "w1" }, { id: "b", weights: "w2" }] });
    opens(usual);
    await lineup.reload(models);
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ failures: {} });
  });

  test("without memory for both drains that model first, and the other one notices nothing", async () => {
    const { node, lineup, models, disk, opens, usual, station, closed } = await linedUp(0);
    const elsewhere = await ask(node, "b", { tokens: 60, everyMs: 5 });
    const running = await ask(node, "a", { endless: true, everyMs: 5 });
    disk["a"] = "w2";
    const full = new EngineFault("no_memory", "a.gguf does not fit: it needs 9.0 GiB, and 4.0 GiB are free.");
    opens((wanted) => (wanted.modelId === "a" && closed.length === 0 ? full : usual(wanted)));
    await lineup.reload(models);
    expect(readEvents(await running.text()).notes.at(-1)?.ended).toBe("drained");
    expect(station("a")?.weights).toBe("w2");
    expect(readEvents(await elsewhere.text())).toMatchObject({ finish: "stop", to: 61 });
  });

  test("that has to drain and then cannot open the new goes back to what was there", async () => {
    const { lineup, models, opens, usual, station, workshop } = await linedUp(0);
    const full = new EngineFault("no_memory", "it needs 9.0 GiB, and 4.0 GiB are free");
    opens((wanted) => (wanted.contextTokens === 9_999 ? full : usual(wanted)));
    await lineup.reload([choice("a", 9_999), choice("b", 512)]);
    expect(station("a")?.engine.info.contextTokens).toBe(512);
    expect(workshop.failures.get("a")).toContain("9.0 GiB");
    await lineup.reload(models);
    expect([...workshop.failures]).toEqual([]);
  });

  test("brings models that are new on the list and lets go of those that are not on it any more", async () => {
    const { node, edge, lineup, closed } = await linedUp();
    await lineup.reload([choice("b", 512), choice("c", 512)]);
    expect(closed).toEqual(["a w1"]);
    expect((await ask(node, "a", { tokens: 1 })).status).toBe(404);
    expect(readEvents(await (await ask(node, "c", { tokens: 1 })).text()).finish).toBe("stop");
    const named = (): string =>
      edge.beats
        .at(-1)
        ?.models.map(({ id }) => id)
        .join(" ") ?? "";
    await edge.until(() => named() === "script b c", "a beat that names what is served now");
  });
});

describe("models of which one has to be waited for", () => {
  const elsewhere = (port: number): EngineChoice => ({ ...choice("far", port), kind: "http" });

  /** Servers elsewhere are real requests to 127.0.0.1, at the port that is the choice's context; what is here opens when it is let. */
  async function waiting(letOpen: (model: string) => Promise<void> = () => Promise.resolve()) {
    const node = await useNode();
    const [opened, removed]: string[][] = [[], []];
    const open = async (wanted: EngineChoice, told: Opening): Promise<Engine> => {
      const { modelId: model, contextTokens = 0 } = wanted;
      opened?.push(model);
      if (wanted.kind === "http")
        return createTextEngine({
          model,
          url: new URL(`http://127.0.0.1:${contextTokens}`),
          contextTokens,
          opening: told,
        });
      await letOpen(model);
      if (contextTokens === 9_999) throw new EngineFault("bad_model", "it is truncated");
      if (contextTokens === 8_888 && node.workshop.stations.length > 1 && removed?.length === 0)
        throw new EngineFault("no_memory", "it needs 9.0 GiB, and 4.0 GiB are free");
      const engine = createScriptEngine({ model, contextTokens });
      return Object.assign(engine, { close: () => Promise.resolve(void removed?.push(model)) });
    };
    const lineup = new Lineup({
      workshop: node.workshop,
      open,
      digest: () => Promise.resolve(undefined),
      told: () => undefined,
      drainMs: 0,
      log: node.workshop.log,
    });
    const serves = (): readonly string[] => node.workshop.stations.map(({ model }) => model).slice(1);
    return { ...node, lineup, opened, removed, serves };
  }

  test("serve the others at once, and /health says what is waited for", async () => {
    const { url, lineup, serves, workshop } = await waiting();
    const started = lineup.start([elsewhere(1), choice("near", 512)]);
    await expect.poll(serves).toEqual(["near"]);
    await expect.poll(() => workshop.failures.get("far")).toContain("waiting for openai: ");
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({
      failures: { far: expect.stringContaining("waiting for openai: ") },
    });
    expect(workshop.seek("far")).toMatchObject({ ok: false, refusal: { kind: "loading" } });
    lineup.close();
    await started;
  });

  test("are reached as soon as a reload names the right address", async () => {
    const peer = await scriptedServer();
    const { lineup, serves, workshop } = await waiting();
    const started = lineup.start([elsewhere(1), choice("near", 512)]);
    await expect.poll(() => workshop.failures.has("far")).toBe(true);
    await lineup.reload([elsewhere(Number(peer.url.port)), choice("near", 512)]);
    await started;
    expect(serves()).toEqual(["near", "far"]);
    expect([...workshop.failures]).toEqual([]);
    // The old one serves on while another address is waited for, and a removal does not wait with it.
    const wrong = lineup.reload([elsewhere(1)]);
    await expect.poll(serves).toEqual(["far"]);
    await expect.poll(() => workshop.failures.get("far")).toContain("waiting for openai: ");
    lineup.close();
    await wrong;
  });

  test("are opened once each, however a reload falls into the start", async () => {
    const gate = Promise.withResolvers<void>();
    const { lineup, opened, serves } = await waiting(() => gate.promise);
    const started = lineup.start([choice("a", 512), choice("b", 512)]);
    const reloaded = lineup.reload([choice("a", 512)]);
    gate.resolve();
    await Promise.all([started, reloaded]);
    expect([opened, serves()]).toEqual([["a"], ["a"]]);
  });

  test("under a new name are there before the old one goes, which stays where they cannot be opened", async () => {
    const meanwhile: (readonly string[])[] = [];
    const { lineup, serves, removed, workshop } = await waiting(() => {
      meanwhile.push(serves());
      return Promise.resolve();
    });
    await lineup.start([choice("old", 512)]);
    await lineup.reload([choice("new", 9_999)]);
    expect([serves(), removed]).toEqual([["old"], []]);
    expect(workshop.failures.get("new")).toBe("it is truncated");
    await lineup.reload([choice("new", 512)]);
    expect([serves(), removed]).toEqual([["new"], ["old"]]);
    expect(meanwhile).toEqual([[], ["old"], ["old"]]);
  });

  test("hold no reload up, though the server takes the question and is silent", async () => {
    const silent = createServer(() => undefined).listen(0, "127.0.0.1");
    onTestFinished(() => void silent.close());
    await once(silent, "listening");
    const { lineup, serves } = await waiting();
    const started = lineup.start([elsewhere((silent.address() as AddressInfo).port), choice("near", 512)]);
    await once(silent, "connection");
    await lineup.reload([choice("near", 512)]);
    await started;
    expect(serves()).toEqual(["near"]);
  });

  test("take the place of one that is not wanted any more, where the memory is not there for both", async () => {
    const { lineup, serves, removed } = await waiting();
    await lineup.start([choice("old", 512)]);
    await lineup.reload([choice("new", 8_888)]);
    expect([serves(), removed]).toEqual([["new"], ["old"]]);
  });
});

describe("a start", () => {
  const bad = new EngineFault("bad_model", "it is truncated");
  const starting = async (able: string) => {
    const { workshop } = await useNode();
    const open = async ({ modelId }: EngineChoice): Promise<Engine> => {
      if (modelId === able) return createScriptEngine({ model: modelId });
      throw bad;
    };
    const rest = { digest: async () => undefined, told: () => undefined, drainMs: 0, log: workshop.log };
    return { workshop, lineup: new Lineup({ workshop, open, ...rest }) };
  };

  test("serves what it can, and says what it cannot", async () => {
    const { workshop, lineup } = await starting("e");
    await lineup.start([choice("d", 512), choice("e", 512)]);
    expect(workshop.seek("e").ok).toBe(true);
    expect(workshop.seek("d")).toEqual({ ok: false, refusal: { kind: "unknown_model", model: "d" } });
    expect([...workshop.failures]).toEqual([["d", "it is truncated"]]);
  });

  test("fails with the reason where nothing can be served", async () => {
    const { lineup } = await starting("none");
    await expect(lineup.start([choice("d", 512), choice("e", 512)])).rejects.toBe(bad);
  });

  test("tells calls for a model that is still being opened to come back", async () => {
    const { workshop, lineup } = await starting("e");
    const started = lineup.start([choice("e", 512)]);
    expect(workshop.seek("e")).toMatchObject({ ok: false, refusal: { kind: "loading" } });
    await started;
    expect(workshop.seek("e").ok).toBe(true);
  });
});
