/** Models, prices and aliases: what an admin changes is what the request path reads. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { resolveModel } from "../../../src/core/catalogue.ts";
import { readCatalogue } from "../../../src/db/catalogue.ts";
import { ask } from "./support.ts";

const PRICE = { inputMicroUsdPerM: 270_000, cachedMicroUsdPerM: 70_000, outputMicroUsdPerM: 1_100_000 };
const MODEL = { contextTokens: 4_096, outputTokensDefault: 1_024, price: PRICE };

async function offered(name: string) {
  return resolveModel(await readCatalogue(env, Date.now()), name);
}

describe("a model", () => {
  test("is offered with its price as soon as it was made", async ({ expect }) => {
    const made = await ask("PUT", "/models/deepseek-ai/DeepSeek-V3", MODEL);
    expect(made).toMatchObject({ status: 201, body: { model: { id: "deepseek-ai/DeepSeek-V3" } } });
    expect((await offered("deepseek-ai/DeepSeek-V3"))?.model).toMatchObject({
      contextTokens: 4_096,
      outputTokensDefault: 1_024,
      ownedBy: "sluice",
      thinkingDefault: false,
      price: { id: made.body.price.id, ...PRICE },
    });
  });

  test("may have its slashes escaped in the url", async ({ expect }) => {
    await ask("PUT", `/models/${encodeURIComponent("org/escaped")}`, MODEL);
    expect(await offered("org/escaped")).toBeDefined();
  });

  test("changes in the one thing that is given", async ({ expect }) => {
    await ask("PUT", "/models/one", MODEL);
    const changed = await ask("PUT", "/models/one", { outputTokensDefault: 99 });
    expect(changed.status).toBe(200);
    expect((await offered("one"))?.model).toMatchObject({
      contextTokens: 4_096,
      outputTokensDefault: 99,
      price: PRICE,
    });
  });

  test("gets a new price, now or at a time to come, and keeps the old row", async ({ expect }) => {
    await ask("PUT", "/models/priced", MODEL);
    const dearer = { ...PRICE, outputMicroUsdPerM: 2_000_000 };
    const fromMs = Date.now() + 3_600_000;
    await ask("PUT", "/models/priced", { price: { ...dearer, effectiveFromMs: fromMs } });
    expect((await offered("priced"))?.model.price).toMatchObject(PRICE);
    const later = await readCatalogue(env, fromMs);
    expect(resolveModel(later, "priced")?.model.price).toMatchObject(dearer);
    await ask("PUT", "/models/priced", { price: { ...PRICE, inputMicroUsdPerM: 1 } });
    expect((await offered("priced"))?.model.price.inputMicroUsdPerM).toBe(1);
    const rows = await env.DB.prepare("select count(*) as n from prices where model = 'priced'").first();
    expect(rows).toEqual({ n: 3 });
    const { body } = await ask("GET", "/models");
    const listed = body.models.find((model: { id: string }) => model.id === "priced");
    expect(listed.price.inputMicroUsdPerM).toBe(1);
    expect(listed.pricesToCome).toMatchObject([{ effectiveFromMs: fromMs }]);
  });

  test("given the price it has gets no second row", async ({ expect }) => {
    await ask("PUT", "/models/same", MODEL);
    await ask("PUT", "/models/same", MODEL);
    const rows = await env.DB.prepare("select count(*) as n from prices where model = 'same'").first();
    expect(rows).toEqual({ n: 1 });
  });

  test("that was removed is offered no more, and neither are its aliases", async ({ expect }) => {
    await ask("PUT", "/models/gone", MODEL);
    await ask("PUT", "/aliases/gone-too", { model: "gone" });
    expect((await ask("DELETE", "/models/gone")).status).toBe(200);
    expect(await offered("gone")).toBeUndefined();
    expect(await offered("gone-too")).toBeUndefined();
    expect((await ask("DELETE", "/models/gone")).status).toBe(404);
  });

  const WRONG = [
    ["a negative price", { ...MODEL, price: { ...PRICE, inputMicroUsdPerM: -1 } }, "price.inputMicroUsdPerM"],
    [
      "a price in fractions",
      { ...MODEL, price: { ...PRICE, outputMicroUsdPerM: 0.5 } },
      "price.outputMicroUsdPerM",
    ],
    [
      "an absurd price",
      { ...MODEL, price: { ...PRICE, outputMicroUsdPerM: 1e9 } },
      "price.outputMicroUsdPerM",
    ],
    ["a price of the past", { ...MODEL, price: { ...PRICE, effectiveFromMs: 1 } }, "price.effectiveFromMs"],
    ["no context", { ...MODEL, contextTokens: 0 }, "contextTokens"],
    ["more output than context", { ...MODEL, outputTokensDefault: 5_000 }, "outputTokensDefault"],
    ["no price, being new", { contextTokens: 10, outputTokensDefault: 10 }, "price"],
  ] as const;
  test.for(WRONG)("with %s is refused", async ([, model, param], { expect }) => {
    const { status, body } = await ask("PUT", "/models/wrong", model);
    expect(status).toBe(400);
    expect(body.error.issues[0].param).toBe(param);
    expect(await offered("wrong")).toBeUndefined();
  });
});

describe("an alias", () => {
  test("is another name of a model, with a mind of its own about thinking", async ({ expect }) => {
    await ask("PUT", "/models/real", MODEL);
    await ask("PUT", "/aliases/reasoner", { model: "real", thinkingDefault: true });
    await ask("PUT", "/aliases/chat", { model: "real" });
    expect(await offered("reasoner")).toMatchObject({ model: { id: "real" }, thinkingDefault: true });
    expect(await offered("chat")).toMatchObject({ model: { id: "real" }, thinkingDefault: false });
    expect((await ask("DELETE", "/aliases/chat")).status).toBe(200);
    expect(await offered("chat")).toBeUndefined();
  });

  test("never takes a model's name, nor a model an alias's", async ({ expect }) => {
    await ask("PUT", "/models/taken", MODEL);
    await ask("PUT", "/aliases/nick", { model: "taken" });
    expect((await ask("PUT", "/aliases/taken", { model: "taken" })).status).toBe(409);
    expect((await ask("PUT", "/models/nick", MODEL)).status).toBe(409);
  });

  test("of nothing is refused", async ({ expect }) => {
    const { status, body } = await ask("PUT", "/aliases/lost", { model: "nothing" });
    expect({ status, param: body.error.issues[0].param }).toEqual({ status: 400, param: "model" });
    expect((await ask("DELETE", "/aliases/lost")).status).toBe(404);
  });
});
