/** The catalogue's way from D1 to the request path, and what happens where a store on that way is away. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, test, vi } from "vitest";
import type { Env } from "../../../src/core/env.ts";
import type * as Catalogues from "../../../src/db/catalogue.ts";

/** A fresh isolate's memory: the module is loaded anew. */
async function freshIsolate(): Promise<typeof Catalogues> {
  vi.resetModules();
  return import("../../../src/db/catalogue.ts");
}

/** What `waitUntil` was given runs on its own; this waits for the effect it has. */
async function until(met: () => Promise<boolean>): Promise<void> {
  await vi.waitFor(async () => {
    if (!(await met())) throw new Error("not yet");
  });
}

const DB = {
  prepare: () => {
    throw new Error("D1 is away");
  },
} as unknown as Env["DB"];

const KV = {
  get: () => Promise.reject(new Error("KV is away")),
  put: () => Promise.reject(new Error("KV is away")),
} as unknown as Env["KV"];

async function offer(model: string, inputMicroUsdPerM: number, effectiveFromMs: number): Promise<void> {
  await env.DB.batch([
    env.DB.prepare(
      `insert or ignore into models (id, context_tokens, output_tokens_default, owned_by, created_s, thinking_default)
       values (?, 100, 50, 'us', 1, 0)`,
    ).bind(model),
    env.DB.prepare(
      `insert into prices (id, model, input_micro_usd_per_m, cached_micro_usd_per_m, output_micro_usd_per_m,
       effective_from_ms) values (?, ?, ?, 1, 2, ?)`,
    ).bind(`price-${model}-${effectiveFromMs}`, model, inputMicroUsdPerM, effectiveFromMs),
  ]);
}

beforeEach(async () => {
  await env.DB.batch([env.DB.prepare("delete from models"), env.DB.prepare("delete from prices")]);
  await env.KV.delete("catalogue/1");
});

describe("the catalogue", () => {
  test("is read from D1 where KV has nothing yet, and from KV from then on", async ({ expect }) => {
    await offer("m", 7, 1);
    const isolate = await freshIsolate();
    expect((await isolate.readCatalogue(env, 1_000)).models).toMatchObject([{ id: "m" }]);
    await isolate.refreshCatalogue(env, 2_000);
    const other = await freshIsolate();
    const catalogue = await other.readCatalogue({ ...env, DB }, 3_000);
    expect(catalogue).toMatchObject({
      builtAtMs: 2_000,
      models: [{ id: "m", price: { inputMicroUsdPerM: 7 } }],
    });
  });

  test("answers from memory for five seconds, then renews itself behind the answer", async ({ expect }) => {
    await offer("m", 7, 1);
    const isolate = await freshIsolate();
    await isolate.refreshCatalogue(env, 1_000);
    await offer("n", 7, 1);
    const elsewhere = await freshIsolate();
    await elsewhere.publishCatalogue(env, 2_000);
    expect((await isolate.readCatalogue(env, 6_000)).models).toHaveLength(1);
    expect((await isolate.readCatalogue(env, 6_001)).models).toHaveLength(1);
    await until(async () => (await isolate.readCatalogue(env, 6_002)).models.length === 2);
  });

  test("shows a price in the millisecond it begins, without any renewal", async ({ expect }) => {
    await offer("m", 7, 1);
    await offer("m", 9, 5_000);
    const isolate = await freshIsolate();
    await isolate.refreshCatalogue(env, 4_000);
    const priceAt = async (nowMs: number) =>
      (await isolate.readCatalogue({ DB, KV }, nowMs)).models[0]?.price.inputMicroUsdPerM;
    expect(await priceAt(4_999)).toBe(7);
    expect(await priceAt(5_000)).toBe(9);
  });

  test("keeps no price that a later one has replaced", async ({ expect }) => {
    await offer("m", 5, 1);
    await offer("m", 7, 2);
    await offer("m", 9, 9_000);
    await (await freshIsolate()).refreshCatalogue(env, 4_000);
    const kept = await env.KV.get<{ models: { prices: { effectiveFromMs: number }[] }[] }>(
      "catalogue/1",
      "json",
    );
    expect(kept?.models[0]?.prices.map((price) => price.effectiveFromMs)).toEqual([2, 9_000]);
  });
});

describe("with D1 and KV away", () => {
  test("what is known is served, however old", async ({ expect }) => {
    await offer("m", 7, 1);
    const isolate = await freshIsolate();
    await isolate.refreshCatalogue(env, 1_000);
    const hoursLater = await isolate.readCatalogue({ DB, KV }, 20_000_000);
    expect(hoursLater).toMatchObject({ builtAtMs: 1_000, models: [{ id: "m" }] });
  });

  test("and nothing known, the call is refused as one to try again", async ({ expect }) => {
    const isolate = await freshIsolate();
    await expect(isolate.readCatalogue({ DB, KV }, 1_000)).rejects.toMatchObject({
      fault: { kind: "storage_unavailable" },
    });
  });

  test("an admin's change is not undone by failing to publish it", async ({ expect }) => {
    await offer("m", 7, 1);
    const isolate = await freshIsolate();
    await isolate.publishCatalogue({ ...env, KV }, 1_000);
    expect((await isolate.readCatalogue({ DB, KV }, 1_001)).models).toHaveLength(1);
  });
});

test("an unchanged catalogue is not written again", async ({ expect }) => {
  await offer("m", 7, 1);
  const isolate = await freshIsolate();
  await isolate.refreshCatalogue(env, 1_000);
  await isolate.refreshCatalogue(env, 61_000);
  expect(await env.KV.get("catalogue/1", "json")).toMatchObject({ builtAtMs: 1_000 });
  await offer("n", 7, 1);
  await isolate.refreshCatalogue(env, 121_000);
  expect(await env.KV.get("catalogue/1", "json")).toMatchObject({ builtAtMs: 121_000 });
});
