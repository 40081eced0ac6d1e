/**
 * What an admin changes in the catalogue: models, aliases, prices. Prices are only ever added; a row of the price book
 * that a bill may name is never changed or removed.
 */
import type { PriceRow } from "@sluice/protocol/ticket";
import { eq } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import { database } from "./database.ts";
import { aliases, models, prices } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type ModelRow = typeof models.$inferSelect;
export type AliasRow = typeof aliases.$inferSelect;

export async function modelById(env: Db, id: string): Promise<ModelRow | undefined> {
  const [row] = await database(env).select().from(models).where(eq(models.id, id));
  return row;
}

export async function aliasByName(env: Db, alias: string): Promise<AliasRow | undefined> {
  const [row] = await database(env).select().from(aliases).where(eq(aliases.alias, alias));
  return row;
}

/** A row of the price book, as the bills that name it were made under. */
export async function priceById(env: Db, id: string): Promise<PriceRow | undefined> {
  const [row] = await database(env).select().from(prices).where(eq(prices.id, id));
  if (row === undefined) return undefined;
  const { inputMicroUsdPerM, cachedMicroUsdPerM, outputMicroUsdPerM } = row;
  const { hitInputMicroUsdPerM, hitOutputMicroUsdPerM } = row;
  return {
    id,
    inputMicroUsdPerM,
    cachedMicroUsdPerM,
    outputMicroUsdPerM,
    hitInputMicroUsdPerM,
    hitOutputMicroUsdPerM,
  };
}

/** The model and, where one is given, its new price, together or not at all. */
export async function putModel(
  env: Db,
  model: ModelRow,
  price: (PriceRow & { readonly effectiveFromMs: number }) | undefined,
): Promise<void> {
  const db = database(env);
  const put = db.insert(models).values(model).onConflictDoUpdate({ target: models.id, set: model });
  if (price === undefined) await put;
  else await db.batch([put, db.insert(prices).values({ ...price, model: model.id })]);
}

/** The model is offered no more, and its aliases with it. Its prices stay: bills name them. */
export async function removeModel(env: Db, id: string): Promise<void> {
  const db = database(env);
  await db.batch([
    db.delete(models).where(eq(models.id, id)),
    db.delete(aliases).where(eq(aliases.model, id)),
  ]);
}

export async function putAlias(env: Db, row: AliasRow): Promise<void> {
  await database(env).insert(aliases).values(row).onConflictDoUpdate({ target: aliases.alias, set: row });
}

export async function removeAlias(env: Db, alias: string): Promise<void> {
  await database(env).delete(aliases).where(eq(aliases.alias, alias));
}
