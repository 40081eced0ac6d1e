/**
 * Models, their prices and their aliases. D1 is written, then the snapshot everybody reads; another isolate may offer
 * the old one for about a minute. A price is never changed: a new one begins, now or at a time to come.
 */
import { Hono } from "hono";
import { z } from "zod";
import { publishCatalogue, readBooks } from "../db/catalogue.ts";
import {
  addPrice,
  aliasByName,
  modelById,
  priceHistory,
  putAlias,
  putModel,
  removeAlias,
  removeModel,
  type ModelRow,
} from "../db/models.ts";
import { priceInForce, priceName, pricesInForce } from "../db/price-in-force.ts";
import { Complaint, wrong } from "./complaint.ts";
import { pathId, readInput, type AdminContext, type AdminEnv } from "./input.ts";
import { newPrice, PriceInput, printPrices } from "./prices.ts";

/** Of one model's price book, in one answer. */
const PRICE_ROWS_MAX = 1_000;

/** Slashes are common in the names of models, so an id is the whole rest of the path. */
const ModelId = z.string().regex(/^[\w.:/@-]{1,128}$/, "has letters, digits and . _ : / @ - only");

const Tokens = z.int().min(1).max(10_000_000);

const PutModel = z
  .strictObject({
    contextTokens: Tokens.exactOptional(),
    outputTokensDefault: Tokens.exactOptional(),
    ownedBy: z.string().min(1).max(64).exactOptional(),
    thinkingDefault: z.boolean().exactOptional(),
    price: PriceInput.exactOptional(),
  })
  .refine((model) => Object.keys(model).length > 0, { error: "nothing to change was given" });
type PutModel = z.infer<typeof PutModel>;

const PutAlias = z.strictObject({
  model: ModelId,
  /** What the model thinks by default under this name; otherwise as under its own. */
  thinkingDefault: z.boolean().exactOptional(),
});

export const modelRoutes = new Hono<AdminEnv>();
export const priceRoutes = new Hono<AdminEnv>();
export const aliasRoutes = new Hono<AdminEnv>();

modelRoutes.get("/", async (c) => {
  const nowMs = Date.now();
  const { models, aliases } = await readBooks(c.env, nowMs);
  return c.json({
    models: models.map(({ prices, ...model }) => ({
      ...model,
      /** Null: not offered, because nothing runs that could not be billed. */
      price: priceInForce(prices, nowMs) ?? null,
      pricesToCome: printPrices(prices.filter((price) => price.effectiveFromMs > nowMs)),
      aliases: aliases.filter((alias) => alias.model === model.id),
    })),
  });
});

modelRoutes.put("/:model{.+}", async (c) => {
  const id = pathModel(c, "model");
  const change = await readInput(c, PutModel);
  const nowMs = Date.now();
  if ((await aliasByName(c.env, id)) !== undefined)
    throw new Complaint("conflict", `${id} is an alias already`);
  const known = await modelById(c.env, id);
  const model = known === undefined ? newModel(id, change, nowMs) : changed(known, change);
  if (model.outputTokensDefault > model.contextTokens)
    throw wrong("outputTokensDefault", "is more than the context holds");
  const price = await newPrice(c.env, id, { price: change.price, field: "price." }, nowMs);
  await putModel(c.env, model, price);
  await publishCatalogue(c.env, nowMs);
  return c.json({ model, price: printPrices(price)[0] ?? null }, known === undefined ? 201 : 200);
});

modelRoutes.delete("/:model{.+}", async (c) => {
  const id = pathModel(c, "model");
  if ((await modelById(c.env, id)) === undefined) throw new Complaint("not_found", "there is no such model");
  await removeModel(c.env, id);
  await publishCatalogue(c.env, Date.now());
  return c.json({ id, removed: true });
});

aliasRoutes.put("/:alias{.+}", async (c) => {
  const alias = pathModel(c, "alias");
  const { model, thinkingDefault } = await readInput(c, PutAlias);
  if ((await modelById(c.env, alias)) !== undefined)
    throw new Complaint("conflict", `${alias} is a model already`);
  const target = await modelById(c.env, model);
  if (target === undefined) throw wrong("model", `"${model}" is no model here`);
  const row = { alias, model, thinkingDefault: thinkingDefault ?? target.thinkingDefault };
  await putAlias(c.env, row);
  await publishCatalogue(c.env, Date.now());
  return c.json({ alias: row });
});

aliasRoutes.delete("/:alias{.+}", async (c) => {
  const alias = pathModel(c, "alias");
  if ((await aliasByName(c.env, alias)) === undefined)
    throw new Complaint("not_found", "there is no such alias");
  await removeAlias(c.env, alias);
  await publishCatalogue(c.env, Date.now());
  return c.json({ alias, removed: true });
});

/** The newest first: those to come, the one in force, those that were. */
priceRoutes.get("/:model{.+}", async (c) => {
  const id = pathModel(c, "model");
  const nowMs = Date.now();
  const rows = await priceHistory(c.env, id, PRICE_ROWS_MAX);
  if (rows.length === 0) throw new Complaint("not_found", "there is no price of such a model");
  const inForce = pricesInForce(rows, nowMs)[0];
  return c.json({
    model: id,
    inForce: inForce === undefined ? null : priceName(inForce.id),
    now: priceInForce(rows, nowMs) ?? null,
    prices: printPrices(rows),
  });
});

priceRoutes.post("/:model{.+}", async (c) => {
  const id = pathModel(c, "model");
  const given = await readInput(c, PriceInput);
  if ((await modelById(c.env, id)) === undefined) throw new Complaint("not_found", "there is no such model");
  const nowMs = Date.now();
  const price = await newPrice(c.env, id, { price: given, field: "" }, nowMs);
  await addPrice(c.env, id, price);
  await publishCatalogue(c.env, nowMs);
  return c.json({ model: id, price: printPrices(price)[0] ?? null }, price.length > 0 ? 201 : 200);
});

/** A name that is about to be made may be wrong; then that is said, and not that nothing was found. */
function pathModel(c: AdminContext, name: "model" | "alias"): string {
  if (c.req.method === "PUT") {
    const parsed = ModelId.safeParse(c.req.param(name));
    if (!parsed.success) throw wrong(name, parsed.error.issues[0]?.message ?? "is no name");
  }
  return pathId(c, name, ModelId, name);
}

function newModel(id: string, given: PutModel, nowMs: number): ModelRow {
  const missing = (["contextTokens", "outputTokensDefault", "price"] as const).filter(
    (field) => given[field] === undefined,
  );
  if (missing.length > 0)
    throw new Complaint(
      "invalid_request",
      `a new model needs ${missing.join(", ")}`,
      missing.map((param) => ({ param, message: "is needed for a new model" })),
    );
  const { contextTokens = 1, outputTokensDefault = 1, ownedBy = "sluice", thinkingDefault = false } = given;
  const createdS = Math.floor(nowMs / 1_000);
  return { id, contextTokens, outputTokensDefault, ownedBy, thinkingDefault, createdS };
}

function changed(known: ModelRow, change: PutModel): ModelRow {
  const { contextTokens, outputTokensDefault, ownedBy, thinkingDefault } = { ...known, ...change };
  return { ...known, contextTokens, outputTokensDefault, ownedBy, thinkingDefault };
}
