/** What each layer of the answer cache costs in operations, and that none of them can do harm when it is ill. */
import { env } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, test } from "vitest";
import { ask } from "../admin/support.ts";
import {
  chat,
  client,
  keptInKv,
  MODEL,
  newDataCentre,
  newIsolate,
  openPlatform,
  weather,
  type Client,
} from "./support.ts";

beforeAll(() => openPlatform());
beforeEach(async () => {
  weather.kv = weather.colo = "up";
  await newDataCentre();
  await Promise.all((await keptInKv()).map((name) => env.KV.delete(name)));
});

const SECOND_MS = 1_000;

/** Asked twice, so that every layer has the answer. */
async function everywhere(by: Client): Promise<void> {
  await chat(by);
  // One key is written at most once a second.
  await scheduler.wait(SECOND_MS);
  await chat(by);
}

describe("operations", () => {
  test("a request that samples, says off, or asks for what is never kept touches no store", async ({
    expect,
  }) => {
    const by = await client();
    const nothing = { match: 0, get: 0, coloPut: 0, kvPut: 0, node: 1 };
    expect((await chat(by, { temperature: 1 })).took).toEqual(nothing);
    expect((await chat(by, {}, { "x-sluice-cache": "off" })).took).toEqual(nothing);
    // Nor does what is kept nowhere: no look could find it.
    expect((await chat(by, { n: 2 })).took).toEqual(nothing);
    expect((await chat(by, { logprobs: true })).took).toEqual(nothing);
  });

  test("first sight: one look into each layer, one write into the data centre's, none into KV", async ({
    expect,
  }) => {
    const first = await chat(await client());
    expect(first).toMatchObject({ status: 200, cache: "miss" });
    expect(first.took).toEqual({ match: 1, get: 1, coloPut: 1, kvPut: 0, node: 1 });
    expect(await keptInKv()).toEqual([]);
  });

  test("second sight: out of memory without a read, and KV is written once; third sight: nothing at all", async ({
    expect,
  }) => {
    const by = await client();
    await chat(by);
    const second = await chat(by);
    expect(second).toMatchObject({ cache: "hit", layer: "memory" });
    expect(second.took).toEqual({ match: 0, get: 0, coloPut: 1, kvPut: 1, node: 0 });
    const third = await chat(by);
    expect(third).toMatchObject({ cache: "hit", layer: "memory" });
    expect(third.took).toEqual({ match: 0, get: 0, coloPut: 0, kvPut: 0, node: 0 });
    expect(await keptInKv()).toHaveLength(1);
  });

  test("one key is written to a layer at most once a second, however often it is made anew", async ({
    expect,
  }) => {
    const by = await client();
    const anew = { "x-sluice-cache": "refresh" };
    expect((await chat(by, {}, anew)).took).toMatchObject({ coloPut: 1, node: 1 });
    expect((await chat(by, {}, anew)).took).toMatchObject({ coloPut: 0, node: 1 });
    await scheduler.wait(SECOND_MS);
    expect((await chat(by, {}, anew)).took).toMatchObject({ coloPut: 1, node: 1 });
  });

  test("another isolate finds it in the data centre, and knows that KV has it", async ({ expect }) => {
    const by = await client();
    await everywhere(by);
    newIsolate();
    const found = await chat(by);
    expect(found).toMatchObject({ cache: "hit", layer: "colo" });
    expect(found.took).toEqual({ match: 1, get: 0, coloPut: 0, kvPut: 0, node: 0 });
    expect((await chat(by)).layer).toBe("memory");
  });

  test("another data centre finds it in KV, and keeps it near", async ({ expect }) => {
    const by = await client();
    await everywhere(by);
    await newDataCentre();
    await scheduler.wait(SECOND_MS);
    const found = await chat(by, { stream: true });
    expect(found).toMatchObject({ cache: "hit", layer: "kv" });
    expect(found.text).toContain("one two");
    expect(found.took).toEqual({ match: 1, get: 1, coloPut: 1, kvPut: 0, node: 0 });
    newIsolate();
    expect((await chat(by)).layer).toBe("colo");
  });

  test("a hit in a farther layer holds nothing any more, and its row says that no node was asked", async ({
    expect,
  }) => {
    const by = await client();
    await chat(by);
    newIsolate();
    expect((await chat(by)).layer).toBe("colo");
    const { body } = await ask("GET", `/accounts/${by.account}`);
    // The first answer's receipt never comes: its node is not a real one.
    expect(body.account.holdsOpen).toBe(1);
  });

  test("a pinned account's answers reach no layer but memory, and are taken from none", async ({
    expect,
  }) => {
    const by = await client();
    await everywhere(by);
    await ask("PATCH", `/accounts/${by.account}`, { regions: ["here"] });
    newIsolate();
    const first = await chat(by);
    expect(first).toMatchObject({ status: 200, cache: "miss", took: { coloPut: 0, kvPut: 0 } });
    const [name = ""] = await keptInKv();
    await env.KV.delete(name);
    await scheduler.wait(SECOND_MS);
    expect(await chat(by)).toMatchObject({ cache: "hit", layer: "memory", took: { coloPut: 0, kvPut: 0 } });
    expect(await keptInKv()).toEqual([]);
    newIsolate();
    expect(await chat(by)).toMatchObject({ status: 200, cache: "miss" });
  });
});

test("keys that may go to other regions do not share answers, in no layer", async ({ expect }) => {
  const by = await client();
  await everywhere(by);
  const { body } = await ask("POST", `/accounts/${by.account}/keys`, { name: "pinned", regions: ["here"] });
  const pinned = { account: by.account, apiKey: body.key.secret as string };
  expect(await chat(pinned)).toMatchObject({ status: 200, cache: "miss" });
  expect(await chat(pinned)).toMatchObject({ cache: "hit", layer: "memory" });
  // It is at hand under the same name, and opens for the pinned key alone.
  expect(await chat(by)).toMatchObject({ status: 200, cache: "miss" });
  newIsolate();
  expect(await chat(pinned)).toMatchObject({ status: 200, cache: "miss" });
});

describe("a layer that is ill", () => {
  test.for(["down", "slow"] as const)(
    "%s is a miss, and costs no more than a moment",
    async (how, { expect }) => {
      const by = await client();
      await everywhere(by);
      newIsolate();
      weather.kv = weather.colo = how;
      const answered = await chat(by);
      expect(answered).toMatchObject({ status: 200, cache: "miss" });
      expect(answered.took.node).toBe(1);
      expect(answered.ms).toBeLessThan(1_000);
    },
  );

  test("the data centre's being down leaves KV", async ({ expect }) => {
    const by = await client();
    await everywhere(by);
    newIsolate();
    weather.colo = "down";
    expect(await chat(by)).toMatchObject({ cache: "hit", layer: "kv" });
  });

  test("a value that is cut, changed, foreign or nonsense is a miss", async ({ expect }) => {
    const [by, other] = [await client(), await client()];
    await everywhere(by);
    const [name = ""] = await keptInKv();
    const whole = new Uint8Array((await env.KV.get(name, { type: "arrayBuffer" })) ?? new ArrayBuffer());
    expect(new TextDecoder().decode(whole)).not.toContain("one two");
    await env.KV.delete(name);
    await everywhere(other);
    const [foreign = ""] = await keptInKv();
    const theirs = new Uint8Array((await env.KV.get(foreign, { type: "arrayBuffer" })) ?? new ArrayBuffer());
    const changed = whole.slice();
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    for (const broken of [
      whole.slice(0, -9),
      changed,
      theirs,
      new TextEncoder().encode("{}\n"),
      new Uint8Array(),
    ]) {
      await env.KV.put(name, broken);
      await newDataCentre();
      expect(await chat(by)).toMatchObject({ status: 200, cache: "miss", took: { node: 1 } });
    }
    await env.KV.put(name, whole);
    await newDataCentre();
    expect(await chat(by)).toMatchObject({ cache: "hit", layer: "kv" });
  });
});

test("forgetting the salt forgets every layer at once", async ({ expect }) => {
  const by = await client();
  await everywhere(by);
  await ask("POST", `/accounts/${by.account}/cache/purge`);
  expect(await chat(by)).toMatchObject({ cache: "miss" });
  await ask("POST", `/accounts/${by.account}/cache/purge`);
  newIsolate();
  expect(await chat(by)).toMatchObject({ cache: "miss" });
  await ask("POST", `/accounts/${by.account}/cache/purge`);
  await newDataCentre();
  expect(await chat(by)).toMatchObject({ cache: "miss" });
});

test("an empty purse still gets what is free, from a farther layer too", async ({ expect }) => {
  const by = await client();
  await everywhere(by);
  newIsolate();
  const { body } = await ask("GET", `/accounts/${by.account}`);
  const amountNanoUsd = -body.account.balanceNanoUsd;
  await ask("POST", `/accounts/${by.account}/credits`, { creditId: "spent", amountNanoUsd });
  expect(await chat(by, { seed: 1 })).toMatchObject({ status: 402 });
  expect(await chat(by)).toMatchObject({ status: 200, cache: "hit" });
});

test("an empty purse whose free answer is broken is an empty purse, and counts no hit", async ({
  expect,
}) => {
  const by = await client();
  await everywhere(by);
  const { body } = await ask("GET", `/accounts/${by.account}`);
  const amountNanoUsd = -body.account.balanceNanoUsd;
  await ask("POST", `/accounts/${by.account}/credits`, { creditId: "spent", amountNanoUsd });
  const [name = ""] = await keptInKv();
  const whole = new Uint8Array((await env.KV.get(name, { type: "arrayBuffer" })) ?? new ArrayBuffer());
  await env.KV.put(name, whole.slice(0, -9));
  await newDataCentre();
  const before = (await ask("GET", `/accounts/${by.account}`)).body.account.lastSeq;
  expect(await chat(by)).toMatchObject({ status: 402 });
  expect((await ask("GET", `/accounts/${by.account}`)).body.account.lastSeq).toBe(before);
  await env.KV.put(name, whole);
  await newDataCentre();
  expect(await chat(by)).toMatchObject({ status: 200, cache: "hit" });
});

test("an empty purse that is pinned gets nothing out of a layer that may be anywhere", async ({ expect }) => {
  const by = await client();
  await everywhere(by);
  await ask("PATCH", `/accounts/${by.account}`, { regions: ["here"] });
  const { body } = await ask("GET", `/accounts/${by.account}`);
  const amountNanoUsd = -body.account.balanceNanoUsd;
  await ask("POST", `/accounts/${by.account}/credits`, { creditId: "spent", amountNanoUsd });
  await newDataCentre();
  expect(await chat(by)).toMatchObject({ status: 402 });
});

test("a price for hits in the price book is charged, whichever layer the answer comes from", async ({
  expect,
}) => {
  const price = {
    inputMicroUsdPerM: 1_000_000,
    cachedMicroUsdPerM: 1_000_000,
    outputMicroUsdPerM: 1_000_000,
  };
  const hits = { hitInputMicroUsdPerM: 1_000_000, hitOutputMicroUsdPerM: 2_000_000 };
  await ask("PUT", `/models/${MODEL}`, { price: { ...price, ...hits } });
  const by = await client();
  const balance = async (): Promise<number> =>
    (await ask("GET", `/accounts/${by.account}`)).body.account.balanceNanoUsd as number;
  await chat(by);
  const before = await balance();
  expect((await chat(by)).layer).toBe("memory");
  // Nine tokens of prompt and three of output.
  expect(before - (await balance())).toBe(9_000 + 6_000);
  newIsolate();
  expect((await chat(by)).layer).toBe("colo");
  expect(before - (await balance())).toBe(2 * (9_000 + 6_000));
});
