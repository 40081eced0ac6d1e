/** A region's object: who lives, who is to drain, what was promised; and what of that survives an eviction. */
import { sketchOf } from "@sluice/protocol/sketch";
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { regionObject } from "../../../src/core/env.ts";
import { BEAT_DEAD_MS, REACHABLE_MS, SAVE_INTERVAL_MS } from "../../../src/nodes/limits.ts";
import { beatOf, BOOT, bootId } from "./support.ts";

const NODE = "node_aaaaaaaaaa";
const OTHER = "node_bbbbbbbbbb";
const NEWER_BOOT = bootId(2_000_000);

function record(id: string) {
  return { id, region: "r", url: "https://gpu.example.com", publicKey: "k" };
}

let regions = 0;

/** A region of its own for every test, with these nodes. */
async function region(...nodes: string[]) {
  const object = regionObject(env, `region-test-${regions++}`);
  for (const node of nodes) await object.put(record(node));
  return object;
}

async function shown(object: Awaited<ReturnType<typeof region>>) {
  return (await object.picture()).nodes;
}

/** Rows ever written by an object, as its storage counts them. */
async function rowsWritten(object: Awaited<ReturnType<typeof region>>, work: () => Promise<void>) {
  let rows = 0;
  await runInDurableObject(object, async (_instance, state) => {
    const { sql } = state.storage;
    const exec = sql.exec.bind(sql);
    Object.defineProperty(sql, "exec", {
      configurable: true,
      value: (...args: Parameters<typeof exec>) => {
        const cursor = exec(...args);
        rows += cursor.rowsWritten;
        return cursor;
      },
    });
  });
  await work();
  return rows;
}

describe("a node", () => {
  test("is shown from its first beat until it has been silent too long", async ({ expect }) => {
    const object = await region(NODE, OTHER);
    expect(await shown(object)).toEqual([]);
    const nowMs = Date.now();
    await object.beat(beatOf(NODE), nowMs);
    await object.beat(beatOf(OTHER), nowMs - BEAT_DEAD_MS - 1);
    const { boot, models, load, speaks, callKeyIds } = beatOf(NODE);
    expect(await shown(object)).toEqual([
      { ...record(NODE), boot, models, load, speaks, callKeyIds, state: "ready", beatAtMs: nowMs },
    ]);
  });

  test("that is not registered is not heard", async ({ expect }) => {
    const object = await region(NODE);
    expect(await object.beat(beatOf(OTHER), Date.now())).toEqual({ ok: false, why: "unknown_node" });
  });

  test("is forgotten by an eviction for a second, its fence is not", async ({ expect }) => {
    const object = await region(NODE);
    await object.beat(beatOf(NODE, { boot: NEWER_BOOT, seq: 7 }), Date.now());
    await evictDurableObject(object);
    expect(await object.picture()).toEqual({ nodes: [], awaited: [NODE] });
    expect(await object.beat(beatOf(NODE, { boot: BOOT, seq: 8 }), Date.now())).toEqual({
      ok: false,
      why: "stale",
    });
    expect(await object.beat(beatOf(NODE, { boot: NEWER_BOOT, seq: 7 }), Date.now())).toMatchObject({
      ok: false,
    });
    expect(await object.beat(beatOf(NODE, { boot: NEWER_BOOT, seq: 8 }), Date.now())).toMatchObject({
      ok: true,
    });
    expect(await shown(object)).toHaveLength(1);
  });

  test("says again which prompts it has cached, once an eviction has forgotten that", async ({ expect }) => {
    const object = await region(NODE);
    const sketch = sketchOf([7, 9]);
    const nowMs = Date.now();
    expect(await object.beat(beatOf(NODE, { seq: 1, sketch }), nowMs)).toEqual({ ok: true, commands: [] });
    expect(await object.beat(beatOf(NODE, { seq: 2 }), nowMs)).toEqual({ ok: true, commands: [] });
    expect(await shown(object)).toMatchObject([{ sketch }]);
    await evictDurableObject(object);
    const asked = { ok: true, commands: [], saySketch: true };
    expect(await object.beat(beatOf(NODE, { seq: 3 }), nowMs)).toEqual(asked);
    // Until it is heard: a reply may be lost.
    expect(await object.beat(beatOf(NODE, { seq: 4 }), nowMs)).toEqual(asked);
    expect(await object.beat(beatOf(NODE, { seq: 5, sketch }), nowMs)).toEqual({ ok: true, commands: [] });
    expect(await object.beat(beatOf(NODE, { seq: 6 }), nowMs)).toEqual({ ok: true, commands: [] });
    expect(await shown(object)).toMatchObject([{ sketch }]);
  });

  test("costs a row once in ten seconds, however often it beats", async ({ expect }) => {
    const object = await region(NODE);
    const startMs = Date.now();
    const rows = await rowsWritten(object, async () => {
      for (let seq = 1; seq <= 60; seq++)
        await object.beat(beatOf(NODE, { seq, completeThroughMs: startMs + seq * 500 }), startMs + seq * 500);
    });
    // The first beat of a boot, and then one row per interval of the half minute.
    expect(rows).toBe(1 + Math.floor(29_500 / SAVE_INTERVAL_MS));
  });
});

describe("an admin's drain", () => {
  test("takes the node out at once, is repeated until it is heard, and survives an eviction", async ({
    expect,
  }) => {
    const object = await region(NODE);
    await object.beat(beatOf(NODE, { seq: 1 }), Date.now());
    expect(await object.drain(NODE, 5_000)).toBe(true);
    expect(await shown(object)).toMatchObject([{ state: "draining" }]);
    await evictDurableObject(object);
    const drain = { ok: true, commands: [{ do: "drain", deadlineMs: 5_000 }] };
    expect(await object.beat(beatOf(NODE, { seq: 2 }), Date.now())).toMatchObject(drain);
    expect(await object.beat(beatOf(NODE, { seq: 3 }), Date.now())).toMatchObject(drain);
    expect(await object.beat(beatOf(NODE, { seq: 4, state: "draining" }), Date.now())).toMatchObject({
      ok: true,
      commands: [],
    });
    await object.drain(NODE, null);
    expect(await object.beat(beatOf(NODE, { seq: 5, state: "draining" }), Date.now())).toMatchObject({
      ok: true,
      commands: [{ do: "resume_service" }],
    });
    expect(await object.beat(beatOf(NODE, { seq: 6 }), Date.now())).toMatchObject({ ok: true, commands: [] });
    // What it does by itself from now on is its own business.
    expect(await object.beat(beatOf(NODE, { seq: 7, state: "draining" }), Date.now())).toMatchObject({
      ok: true,
      commands: [],
    });
  });

  test("of a node that is not there says so", async ({ expect }) => {
    const object = await region();
    expect(await object.drain(NODE, 1)).toBe(false);
  });
});

describe("what the nodes of a region promise about a call", () => {
  test("is each node's own word, bounded by the edge's clock, and nothing where none ever beat", async ({
    expect,
  }) => {
    const object = await region(NODE, OTHER);
    const nowMs = Date.now();
    expect(await object.completeThrough(nowMs)).toEqual([]);
    await object.beat(beatOf(NODE, { completeThroughMs: nowMs - 5 }), nowMs);
    await object.beat(beatOf(OTHER, { completeThroughMs: nowMs + 99_999 }), nowMs);
    expect(await object.completeThrough(nowMs - 1_000)).toEqual([
      { node: NODE, throughMs: nowMs - 5 },
      { node: OTHER, throughMs: nowMs },
    ]);
  });

  test("is nothing from a node whose journal is younger than the call", async ({ expect }) => {
    const object = await region(NODE);
    const nowMs = Date.now();
    await object.beat(beatOf(NODE, { completeThroughMs: nowMs, journalSinceMs: nowMs - 10 }), nowMs);
    expect(await object.completeThrough(nowMs - 11)).toEqual([{ node: NODE, throughMs: 0 }]);
    expect(await object.completeThrough(nowMs - 10)).toEqual([{ node: NODE, throughMs: nowMs }]);
  });

  test("leaves out a node that was silent so long before it that nobody can have chosen it", async ({
    expect,
  }) => {
    const object = await region(NODE);
    const nowMs = Date.now();
    await object.beat(beatOf(NODE), nowMs - REACHABLE_MS);
    expect(await object.completeThrough(nowMs)).toHaveLength(1);
    expect(await object.completeThrough(nowMs + 1)).toEqual([]);
  });

  test("still counts when the node was removed, and goes on growing", async ({ expect }) => {
    const object = await region(NODE);
    const nowMs = Date.now();
    await object.beat(beatOf(NODE, { seq: 1, completeThroughMs: nowMs - 500 }), nowMs);
    await object.remove(NODE);
    expect(await shown(object)).toEqual([]);
    await evictDurableObject(object);
    expect(await object.completeThrough(nowMs)).toEqual([{ node: NODE, throughMs: nowMs - 500 }]);
    expect(await object.beat(beatOf(NODE, { seq: 2, completeThroughMs: nowMs - 1 }), nowMs)).toEqual({
      ok: false,
      why: "unknown_node",
    });
    expect(await object.completeThrough(nowMs)).toEqual([{ node: NODE, throughMs: nowMs - 1 }]);
    expect(await object.drain(NODE, 1)).toBe(false);
  });

  test("is never more after an eviction than before it", async ({ expect }) => {
    const object = await region(NODE);
    const nowMs = Date.now();
    await object.beat(beatOf(NODE, { seq: 1, completeThroughMs: nowMs - 100 }), nowMs);
    await object.beat(beatOf(NODE, { seq: 2, completeThroughMs: nowMs - 50 }), nowMs);
    // A restart found something unnamed in its journal.
    await object.beat(beatOf(NODE, { boot: NEWER_BOOT, seq: 1, completeThroughMs: nowMs - 900 }), nowMs);
    await evictDurableObject(object);
    expect(await object.completeThrough(nowMs - 2_000)).toEqual([{ node: NODE, throughMs: nowMs - 900 }]);
  });
});
