/** Which price holds when, and what is offered. */
import { describe, test } from "vitest";
import { catalogueAt, priceInForce, type CatalogueSnapshot } from "../../../src/db/price-in-force.ts";

const RATES = { inputMicroUsdPerM: 1, cachedMicroUsdPerM: 1, outputMicroUsdPerM: 1 };
const OLD = { id: "price_a", effectiveFromMs: 100, ...RATES };
const NEW = { id: "price_b", effectiveFromMs: 200, ...RATES };
const MODEL = {
  id: "m",
  contextTokens: 8,
  outputTokensDefault: 4,
  ownedBy: "us",
  createdS: 1,
  thinkingDefault: false,
};

function snapshot(changes: Partial<CatalogueSnapshot>): CatalogueSnapshot {
  return { builtAtMs: 1, models: [], aliases: [], regions: ["here"], ...changes };
}

describe("the price in force", () => {
  const CASES = [
    ["is none before the first begins", 99, undefined],
    ["begins in the very millisecond it names", 100, "price_a"],
    ["holds until the next one begins", 199, "price_a"],
    ["is the latest that has begun", 200, "price_b"],
  ] as const;
  test.for(CASES)("%s", ([, nowMs, id], { expect }) => {
    expect(priceInForce([NEW, OLD], nowMs)?.id).toBe(id);
  });

  test("is the later made of two that begin together, in whichever order they come", ({ expect }) => {
    const twin = { ...OLD, id: "price_z" };
    expect(priceInForce([OLD, twin], 150)?.id).toBe("price_z");
    expect(priceInForce([twin, OLD], 150)?.id).toBe("price_z");
  });
});

describe("the catalogue", () => {
  test("does not offer a model, nor an alias of it, before it has a price", ({ expect }) => {
    const aliases = [{ alias: "nick", model: "m", thinkingDefault: true }];
    const made = catalogueAt(snapshot({ models: [{ ...MODEL, prices: [OLD] }], aliases }), 50);
    expect(made.catalogue).toMatchObject({ models: [], aliases: [] });
    expect(made.untilMs).toBe(100);
    expect(catalogueAt(snapshot({ models: [{ ...MODEL, prices: [OLD] }], aliases }), 100).catalogue).toEqual({
      models: [{ ...MODEL, price: { id: "price_a", ...RATES } }],
      aliases,
      regions: ["here"],
      places: ["here"],
      upstreams: [],
      builtAtMs: 1,
    });
  });

  test("says until when it holds by itself: the next price to begin, of any model", ({ expect }) => {
    const models = [
      { ...MODEL, prices: [OLD] },
      { ...MODEL, id: "n", prices: [OLD, NEW] },
    ];
    expect(catalogueAt(snapshot({ models }), 150).untilMs).toBe(200);
    expect(catalogueAt(snapshot({ models }), 250).untilMs).toBe(Infinity);
  });
});
