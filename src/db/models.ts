/**
 * What an admin changes in the catalogue: models, aliases, prices. Prices are only ever added; a row of the price book
 * that a bill may name is never changed or removed.
 */
import { PriceRow } from "@sluice/protocol/ticket";
import { desc, eq } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import { database } from "./database.ts";
import type { TimedPrice } from "./price-in-force.ts";
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

type PriceBookRow = typeof prices.$inferSelect;

export function timedPrice(row: PriceBookRow): TimedPrice & { readonly model: string } {
  const { zone, fromMinute, toMinute, days, ...price } = row;
  const window =
    zone === null || fromMinute === null || toMinute === null ? null : { zone, fromMinute, toMinute, days };
  return { ...price, window };
}

/** A row of the price book, as the bills that name it were made under. */
export async function priceById(env: Db, id: string): Promise<PriceRow | undefined> {
  const [row] = await database(env).select().from(prices).where(eq(prices.id, id));
  return row === undefined ? undefined : PriceRow.parse(timedPrice(row));
}

/** Every row of a model's price book, the newest price first; the rows of a price together. */
export async function priceHistory(env: Db, model: string, limit: number): Promise<TimedPrice[]> {
  const rows = await database(env)
    .select()
    .from(prices)
    .where(eq(prices.model, model))
    .orderBy(desc(prices.effectiveFromMs), desc(prices.id))
    .limit(limit);
  return rows.map(timedPrice);
}

function insertPrice(env: Db, model: string, { window, ...price }: TimedPrice) {
  return database(env)
    .insert(prices)
    .values({ ...price, ...window, model });
}

/** All rows of a new price, or none. */
export async function addPrice(env: Db, model: string, rows: readonly TimedPrice[]): Promise<void> {
  const [first, ...others] = rows.map((row) => insertPrice(env, model, row));
  if (first !== undefined) await database(env).batch([first, ...others]);
}

/** The model and the rows of its new price, where there is one, together or not at all. */
export async function putModel(env: Db, model: ModelRow, price: readonly TimedPrice[]): Promise<void> {
  const db = database(env);
  const put = db.insert(models).values(model).onConflictDoUpdate({ target: models.id, set: model });
  await db.batch([put, ...price.map((row) => insertPrice(env, model.id, row))]);
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
