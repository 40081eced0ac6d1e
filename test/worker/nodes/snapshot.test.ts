/** What the request path is told of the nodes, how old it may be, and who waits for whom. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { regionObject, type Env } from "../../../src/core/env.ts";
import { SNAPSHOT_SERVES_MS } from "../../../src/nodes/limits.ts";
import {
  liveNodes,
  rememberedNodes,
  sketchesPossible,
  SNAPSHOT_FRESH_MS,
} from "../../../src/nodes/snapshot.ts";
import { beatOf } from "./support.ts";

type Regions = Pick<Env, "REGIONS">;

let names = 0;

/** A region that this isolate has never asked about, with one node that beat just now. */
async function regionWith(node: string): Promise<string> {
  const region = `snapshot-test-${names++}`;
  const object = regionObject(env, region);
  await object.put({ id: node, region, url: "https://gpu.example.com", publicKey: "k" });
  await object.beat(beatOf(node), Date.now());
  return region;
}

/** The real objects, with the questions that reach them counted, or swallowed. */
function watched(answering: "yes" | "never" | "fails" = "yes"): Regions & { asked: number } {
  const watch = { asked: 0, REGIONS: env.REGIONS };
  const stub = (id: DurableObjectId) => ({
    picture: () => {
      watch.asked++;
      if (answering === "fails") return Promise.reject(new Error("the object is away"));
      return answering === "never" ? new Promise(() => undefined) : env.REGIONS.get(id).picture();
    },
  });
  watch.REGIONS = {
    idFromName: (name: string) => env.REGIONS.idFromName(name),
    get: stub,
  } as unknown as typeof env.REGIONS;
  return watch;
}

const NODE = "node_aaaaaaaaaa";

describe("a snapshot", () => {
  test("is asked for once, used for a second, and renewed behind the request that finds it older", async ({
    expect,
  }) => {
    const region = await regionWith(NODE);
    const objects = watched();
    const nowMs = Date.now();
    const first = await liveNodes(objects, [region], nowMs);
    expect(first).toMatchObject({ nodes: [{ id: NODE, region }], regions: [{ region, ageMs: 0 }] });
    const second = await liveNodes(objects, [region], nowMs + SNAPSHOT_FRESH_MS);
    expect(second).toMatchObject({ nodes: [{ id: NODE }], regions: [{ ageMs: SNAPSHOT_FRESH_MS }] });
    expect(objects.asked).toBe(1);
    const laterMs = nowMs + SNAPSHOT_FRESH_MS + 1;
    const third = await liveNodes(objects, [region], laterMs);
    expect(third.regions).toEqual([{ region, ageMs: SNAPSHOT_FRESH_MS + 1 }]);
    await vi.waitFor(async () =>
      expect((await liveNodes(objects, [region], laterMs)).regions).toEqual([{ region, ageMs: 0 }]),
    );
    expect(objects.asked).toBe(2);
  });

  test("that is older than two beats, or that a failure has belied, is waited for", async ({ expect }) => {
    const region = await regionWith(NODE);
    const nowMs = Date.now();
    await liveNodes(env, [region], nowMs);
    const old = await liveNodes(env, [region], nowMs + 3_000);
    expect(old.regions).toEqual([{ region, ageMs: 0 }]);
    const belied = await liveNodes(env, [region], nowMs + 3_500, { afterFailure: true });
    expect(belied.regions).toEqual([{ region, ageMs: 0 }]);
  });

  test("of several regions is one list, and a region nobody knows is an empty part of it", async ({
    expect,
  }) => {
    const regions = [await regionWith(NODE), "nobody-knows", await regionWith("node_bbbbbbbbbb")];
    const view = await liveNodes(env, regions, Date.now());
    expect(view.nodes.map((node) => node.id)).toEqual([NODE, "node_bbbbbbbbbb"]);
    expect(view.regions.map((known) => known.region)).toEqual(regions);
  });
});

describe("while a region's object is away", () => {
  test.for(["never", "fails"] as const)(
    "(it %s) its last snapshot serves, with its age",
    async (how, { expect }) => {
      const region = await regionWith(NODE);
      const nowMs = Date.now();
      await liveNodes(env, [region], nowMs);
      const away = watched(how);
      const later = await liveNodes(away, [region], nowMs + 60_000);
      expect(later).toMatchObject({ nodes: [{ id: NODE }], regions: [{ region, ageMs: 60_000 }] });
      // Nobody else waits for it in the next second.
      await liveNodes(away, [region], nowMs + 60_500);
      expect(away.asked).toBe(1);
      const tooLate = await liveNodes(away, [region], nowMs + SNAPSHOT_SERVES_MS + 1);
      expect(tooLate).toEqual({ nodes: [], isWaking: false, regions: [{ region, ageMs: null }] });
    },
  );

  test("its nodes are judged by their beats' age until an answer comes, and not at some moments only", async ({
    expect,
  }) => {
    const far = await regionWith(NODE);
    const slow = (before: () => Promise<unknown>): Regions => ({
      REGIONS: {
        idFromName: (name: string) => env.REGIONS.idFromName(name),
        get: (id: DurableObjectId) => ({
          picture: () => before().then(() => env.REGIONS.get(id).picture()),
        }),
      } as unknown as typeof env.REGIONS,
    });
    const hangs = slow(() => new Promise(() => undefined));
    const nowMs = Date.now();
    await liveNodes(
      slow(() => scheduler.wait(150)),
      [far],
      nowMs,
    );
    await liveNodes(hangs, [far], nowMs + 6_000);
    await scheduler.wait(950);
    for (const afterMs of [6_950, 7_400, 7_900, 8_400]) {
      const { nodes } = await liveNodes(hangs, [far], nowMs + afterMs);
      expect(nodes).toMatchObject([{ id: NODE, asOfMs: nowMs + afterMs }]);
    }
    // It answers again: what it says is young.
    await liveNodes(env, [far], nowMs + 30_000);
    await expect
      .poll(() => rememberedNodes([far], nowMs + 30_500))
      .toMatchObject([{ id: NODE, asOfMs: nowMs + 30_000 }]);
  });

  test("and nothing was ever known, the answer is empty and soon", async ({ expect }) => {
    const region = await regionWith(NODE);
    const view = await liveNodes(watched("never"), [region], Date.now());
    expect(view).toEqual({ nodes: [], isWaking: false, regions: [{ region, ageMs: null }] });
  });
});

describe("many requests at once", () => {
  /** Each runs in an I/O context of its own, as requests do; only memory is shared. */
  function inRequestsOfTheirOwn<T>(count: number, work: (i: number) => Promise<T>): Promise<T[]> {
    const contexts = Array.from({ length: count }, (_, i) => regionObject(env, `context-${i}`));
    return Promise.all(contexts.map((context, i) => runInDurableObject(context, () => work(i))));
  }

  test("in a fresh isolate all get the nodes", async ({ expect }) => {
    const region = await regionWith(NODE);
    const nowMs = Date.now();
    const views = await inRequestsOfTheirOwn(20, () => liveNodes(env, [region], nowMs));
    for (const view of views) expect(view.nodes).toMatchObject([{ id: NODE }]);
  });

  test("ask once when the snapshot has aged, and nobody else waits", async ({ expect }) => {
    const region = await regionWith(NODE);
    const nowMs = Date.now();
    await liveNodes(env, [region], nowMs);
    const objects = watched();
    const views = await inRequestsOfTheirOwn(20, () => liveNodes(objects, [region], nowMs + 3_000));
    for (const view of views) expect(view.nodes).toMatchObject([{ id: NODE }]);
    expect(objects.asked).toBe(1);
  });

  test("are not held up by one of them that never comes back", async ({ expect }) => {
    const region = await regionWith(NODE);
    const nowMs = Date.now();
    await liveNodes(env, [region], nowMs);
    const stuck = inRequestsOfTheirOwn(1, () => liveNodes(watched("never"), [region], nowMs + 3_000));
    const views = await inRequestsOfTheirOwn(5, (i) => liveNodes(env, [region], nowMs + 3_000 + i));
    for (const view of views) expect(view.nodes).toMatchObject([{ id: NODE }]);
    // The lease of the stuck one has run out by then.
    const after = await liveNodes(env, [region], nowMs + 3_500);
    expect(after.regions).toEqual([{ region, ageMs: 0 }]);
    await stuck;
  });
});

test("an answer that comes later than anyone waits is kept for the next request", async ({ expect }) => {
  const region = await regionWith(NODE);
  const nowMs = Date.now();
  await liveNodes(env, [region], nowMs);
  const slow = {
    REGIONS: {
      idFromName: (name: string) => env.REGIONS.idFromName(name),
      get: (id: DurableObjectId) => ({
        picture: async () => {
          await scheduler.wait(400);
          return env.REGIONS.get(id).picture();
        },
      }),
    } as unknown as typeof env.REGIONS,
  };
  const impatient = await liveNodes(slow, [region], nowMs + 2_000);
  expect(impatient.regions[0]?.ageMs).toBe(2_000);
  await scheduler.wait(400);
  const next = await liveNodes(slow, [region], nowMs + 2_600);
  expect(next).toMatchObject({ nodes: [{ id: NODE }], regions: [{ ageMs: 600 }] });
});

describe("a region far away", () => {
  /** The real objects, of which some take their time. */
  function slow(regions: readonly string[], ms: number): Regions & { asked: string[] } {
    const asked: string[] = [];
    const byId = new Map(regions.map((region) => [env.REGIONS.idFromName(region).toString(), region]));
    const REGIONS = {
      idFromName: (name: string) => env.REGIONS.idFromName(name),
      get: (id: DurableObjectId) => ({
        picture: async () => {
          const region = byId.get(id.toString());
          asked.push(region ?? "near");
          if (region !== undefined) await scheduler.wait(ms);
          return env.REGIONS.get(id).picture();
        },
      }),
    } as unknown as typeof env.REGIONS;
    return { REGIONS, asked };
  }

  test("delays no first request that can go elsewhere, and is known to the next", async ({ expect }) => {
    const [near, far] = [await regionWith(NODE), await regionWith("node_bbbbbbbbbb")];
    const world = slow([far], 700);
    const nowMs = Date.now();
    const first = await liveNodes(world, [near, far], nowMs);
    expect(first.nodes.map((node) => node.id)).toEqual([NODE]);
    await scheduler.wait(750);
    const next = await liveNodes(world, [near, far], nowMs + 800);
    expect(next.nodes.map((node) => node.id)).toEqual([NODE, "node_bbbbbbbbbb"]);
  });

  test("is waited for by a request that has nowhere else to go", async ({ expect }) => {
    const [near, far] = [await regionWith(NODE), await regionWith("node_bbbbbbbbbb")];
    const enough = (nodes: readonly { readonly id: string }[]): boolean =>
      nodes.some((node) => node.id === "node_bbbbbbbbbb");
    const view = await liveNodes(slow([far], 300), [near, far], Date.now(), { enough });
    expect(view.nodes.map((node) => node.id)).toEqual([NODE, "node_bbbbbbbbbb"]);
  });

  test("is looked at every five seconds and never waited for again; sooner when a node has failed", async ({
    expect,
  }) => {
    const far = await regionWith(NODE);
    const world = slow([far], 150);
    const nowMs = Date.now();
    await liveNodes(world, [far], nowMs);
    await liveNodes(world, [far], nowMs + 4_000);
    expect(world.asked).toHaveLength(1);
    const aged = await liveNodes(world, [far], nowMs + 6_000);
    expect(aged).toMatchObject({ nodes: [{ id: NODE }], regions: [{ ageMs: 6_000 }] });
    await scheduler.wait(200);
    expect(world.asked).toHaveLength(2);
    await liveNodes(world, [far], nowMs + 7_500, { afterFailure: true });
    await scheduler.wait(200);
    expect(world.asked).toHaveLength(3);
  });
});

describe("the data centre's copy", () => {
  const copyOf = (region: string): string => `https://fleet.sluice.invalid/1/${region}`;

  test("is left by whoever asked the object", async ({ expect }) => {
    const region = await regionWith(NODE);
    await liveNodes(env, [region], Date.now());
    await expect
      .poll(async () => (await caches.default.match(copyOf(region)))?.json())
      .toMatchObject({ nodes: [{ id: NODE, region }] });
  });

  async function leaveCopy(region: string, node: string, takenAtMs: number): Promise<void> {
    const nodes = [{ id: node, region, beatAtMs: takenAtMs }];
    await caches.default.put(
      copyOf(region),
      Response.json({ nodes, takenAtMs }, { headers: { "cache-control": "max-age=60" } }),
    );
  }

  test("serves a fresh isolate in place of the object, while it is young", async ({ expect }) => {
    const region = await regionWith("node_bbbbbbbbbb");
    const objects = watched();
    const nowMs = Date.now();
    await leaveCopy(region, NODE, nowMs - 500);
    const view = await liveNodes(objects, [region], nowMs);
    expect(view).toMatchObject({ nodes: [{ id: NODE }], regions: [{ ageMs: 500 }] });
    expect(objects.asked).toBe(0);
  });

  test("that is older serves only where the object is away", async ({ expect }) => {
    const [well, away] = [await regionWith("node_bbbbbbbbbb"), await regionWith("node_bbbbbbbbbb")];
    const nowMs = Date.now();
    for (const region of [well, away]) await leaveCopy(region, NODE, nowMs - 20_000);
    expect((await liveNodes(env, [well], nowMs)).nodes).toMatchObject([{ id: "node_bbbbbbbbbb" }]);
    const view = await liveNodes(watched("fails"), [away], nowMs);
    // Silent, and so judged by the age of its beats.
    expect(view).toMatchObject({ nodes: [{ id: NODE, asOfMs: nowMs }], regions: [{ ageMs: 20_000 }] });
  });

  test("has the nodes that an object awaits which has just woken, and is not replaced before they are heard", async ({
    expect,
  }) => {
    const region = await regionWith(NODE);
    const object = regionObject(env, region);
    const nowMs = Date.now();
    await leaveCopy(region, NODE, nowMs - 20_000);
    await evictDurableObject(object);
    const left = async (): Promise<unknown> => (await caches.default.match(copyOf(region)))?.json();
    const view = await liveNodes(env, [region], nowMs);
    expect(view).toMatchObject({ nodes: [{ id: NODE }], isWaking: true, regions: [{ ageMs: 0 }] });
    expect(await left()).toMatchObject({ takenAtMs: nowMs - 20_000 });
    await object.beat(beatOf(NODE, { seq: 2 }), Date.now());
    await expect
      .poll(async () => liveNodes(env, [region], Date.now()))
      .toMatchObject({ nodes: [{ id: NODE, boot: beatOf(NODE).boot }], isWaking: false });
    await expect.poll(left).toMatchObject({ nodes: [{ id: NODE, boot: beatOf(NODE).boot }] });
  });

  test("that is no snapshot is none", async ({ expect }) => {
    const region = await regionWith(NODE);
    await caches.default.put(
      copyOf(region),
      new Response("{", { headers: { "cache-control": "max-age=60" } }),
    );
    expect((await liveNodes(env, [region], Date.now())).nodes).toMatchObject([{ id: NODE }]);
  });
});

test("a sketch stays a node's word until it says another, and a new boot begins without one", async ({
  expect,
}) => {
  const region = await regionWith(NODE);
  const object = regionObject(env, region);
  const nowMs = Date.now();
  const sketch = { recipe: 1, marks: "AQAAAA" } as const;
  const sketches = async (): Promise<unknown[]> => (await object.picture()).nodes.map((node) => node.sketch);
  await object.beat({ ...beatOf(NODE), seq: 2, sketch }, nowMs);
  await object.beat({ ...beatOf(NODE), seq: 3 }, nowMs + 1);
  expect(await sketches()).toEqual([sketch]);
  await liveNodes(env, [region], nowMs + 2);
  expect(sketchesPossible([region])).toBe(true);
  await object.beat({ ...beatOf(NODE), boot: "boot_01JZZZZZZZZZZZZZZZZZZZZZZZ", seq: 0 }, nowMs + 3);
  expect(await sketches()).toEqual([undefined]);
});

describe("while a deploy goes round", () => {
  test("a region whose object is of the build before shows its nodes", async ({ expect }) => {
    const region = await regionWith(NODE);
    const older = {
      idFromName: (name: string) => env.REGIONS.idFromName(name),
      get: (id: DurableObjectId) => {
        const object = env.REGIONS.get(id);
        const lacking = Reflect.get(object, "aMethodOfTheNextBuild") as () => Promise<never>;
        return { picture: () => lacking(), snapshot: () => object.snapshot() };
      },
    } as unknown as typeof env.REGIONS;
    expect(await liveNodes({ REGIONS: older }, [region], Date.now())).toMatchObject({
      nodes: [{ id: NODE, region }],
      isWaking: false,
    });
  });

  test("a Worker of the build before is shown them, too", async ({ expect }) => {
    const object = regionObject(env, await regionWith(NODE));
    expect(await object.snapshot()).toMatchObject([{ id: NODE }]);
  });
});
