/**
 * Models, their prices and their aliases. D1 is written, then the snapshot everybody reads; another isolate may offer
 * the old one for about a minute. A price is never changed: a new one begins, now or at a time to come.
 */
import { ulid } from "@sluice/protocol/ids";
import { PriceRow } from "@sluice/protocol/ticket";
import { Hono } from "hono";
import { z } from "zod";
import type { Env } from "../core/env.ts";
import { publishCatalogue, readBooks } from "../db/catalogue.ts";
import {
  aliasByName,
  modelById,
  putAlias,
  putModel,
  removeAlias,
  removeModel,
  type ModelRow,
} from "../db/models.ts";
import { priceInForce, type TimedPrice } from "../db/price-in-force.ts";
import { Complaint, wrong } from "./complaint.ts";
import { pathId, readInput, type AdminContext, type AdminEnv } from "./input.ts";

/** A clock that runs a little behind ours still says "now". */
const CLOCK_SLACK_MS = 60_000;
const ULID_DICE_BYTES = 16;

/** Slashes are common in the names of models, so an id is the whole rest of the path. */
const ModelId = z.string().regex(/^[\w.:/@-]{1,128}$/, "has letters, digits and . _ : / @ - only");

const Tokens = z.int().min(1).max(10_000_000);

const PutModel = z
  .strictObject({
    contextTokens: Tokens.exactOptional(),
    outputTokensDefault: Tokens.exactOptional(),
    ownedBy: z.string().min(1).max(64).exactOptional(),
    thinkingDefault: z.boolean().exactOptional(),
    /** Micro-dollars per million tokens: 270000 is $0.27. */
    price: PriceRow.omit({ id: true })
      .extend({ effectiveFromMs: z.int().min(0).exactOptional() })
      .strict()
      .exactOptional(),
  })
  .refine((model) => Object.keys(model).length > 0, { error: "nothing to change was given" });
type PutModel = z.infer<typeof PutModel>;

const PutAlias = z.strictObject({
  model: ModelId,
  /** What the model thinks by default under this name; otherwise as under its own. */
  thinkingDefault: z.boolean().exactOptional(),
});

export const modelRoutes = new Hono<AdminEnv>();
export const aliasRoutes = new Hono<AdminEnv>();

modelRoutes.get("/", async (c) => {
  const nowMs = Date.now();
  const { models, aliases } = await readBooks(c.env, nowMs);
  return c.json({
    models: models.map(({ prices, ...model }) => ({
      ...model,
      /** Null: not offered, because nothing runs that could not be billed. */
      price: priceInForce(prices, nowMs) ?? null,
      pricesToCome: prices.filter((price) => price.effectiveFromMs > nowMs),
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
  const price = await newPrice(c.env, id, change.price, nowMs);
  await putModel(c.env, model, price);
  await publishCatalogue(c.env, nowMs);
  return c.json({ model, price: price ?? null }, known === undefined ? 201 : 200);
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

/** The row to add to the price book, or none where this very price is in force already: asking twice adds one row. */
async function newPrice(
  env: Env,
  model: string,
  given: PutModel["price"],
  nowMs: number,
): Promise<TimedPrice | undefined> {
  if (given === undefined) return undefined;
  const effectiveFromMs = given.effectiveFromMs ?? nowMs;
  if (effectiveFromMs < nowMs - CLOCK_SLACK_MS)
    throw wrong("price.effectiveFromMs", "is in the past; what was sold then stays sold at its price");
  const prices = (await readBooks(env, nowMs)).models.find((known) => known.id === model)?.prices ?? [];
  const inForce = priceInForce(prices, nowMs);
  const isSame =
    inForce?.inputMicroUsdPerM === given.inputMicroUsdPerM &&
    inForce.cachedMicroUsdPerM === given.cachedMicroUsdPerM &&
    inForce.outputMicroUsdPerM === given.outputMicroUsdPerM &&
    // Nothing said of hits is free, as it is when it is said.
    (inForce.hitInputMicroUsdPerM ?? 0) === (given.hitInputMicroUsdPerM ?? 0) &&
    (inForce.hitOutputMicroUsdPerM ?? 0) === (given.hitOutputMicroUsdPerM ?? 0);
  if (isSame && given.effectiveFromMs === undefined) return undefined;
  const id = `price_${ulid(nowMs, crypto.getRandomValues(new Uint8Array(ULID_DICE_BYTES)))}`;
  return { ...given, effectiveFromMs, id };
}
