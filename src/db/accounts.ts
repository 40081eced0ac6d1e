/**
 * D1's lists of accounts and keys: what an admin browses. The truth about each is in the account's object, which is
 * always written first; a row here that lags behind misleads nobody who spends money.
 */
import { and, eq, isNull } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import { database } from "./database.ts";
import { cutPage, pageBy, type Page, type PageAsk } from "./page.ts";
import { accounts, keys } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type AccountRow = typeof accounts.$inferSelect;
export type KeyRow = typeof keys.$inferSelect;

export async function listAccount(env: Db, row: typeof accounts.$inferInsert): Promise<void> {
  await database(env)
    .insert(accounts)
    .values(row)
    .onConflictDoUpdate({ target: accounts.id, set: { name: row.name } });
}

export async function renameAccount(env: Db, account: string, name: string): Promise<void> {
  await database(env).update(accounts).set({ name }).where(eq(accounts.id, account));
}

/** Marks it and its keys as ended. The first time is the one that is remembered. */
export async function markDeleted(env: Db, account: string, nowMs: number): Promise<void> {
  const db = database(env);
  await db.batch([
    db
      .update(accounts)
      .set({ deletedAtMs: nowMs })
      .where(and(eq(accounts.id, account), isNull(accounts.deletedAtMs))),
    db
      .update(keys)
      .set({ revokedAtMs: nowMs })
      .where(and(eq(keys.account, account), isNull(keys.revokedAtMs))),
  ]);
}

/** Undefined where no such account was ever listed. */
export async function accountById(env: Db, account: string): Promise<AccountRow | undefined> {
  const [row] = await database(env).select().from(accounts).where(eq(accounts.id, account));
  return row;
}

export async function accountsPage(env: Db, { limit, after }: PageAsk): Promise<Page<AccountRow>> {
  const page = pageBy(accounts.createdAtMs, accounts.id, after);
  const rows = await database(env)
    .select()
    .from(accounts)
    .where(page.where)
    .orderBy(...page.order)
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.createdAtMs, row.id]);
}

export async function listKey(env: Db, row: KeyRow): Promise<void> {
  await database(env).insert(keys).values(row).onConflictDoNothing();
}

/** Its new name, or how its new secret ends. */
export async function renewKey(
  env: Db,
  key: string,
  change: { readonly name: string } | { readonly lastFour: string },
): Promise<void> {
  await database(env).update(keys).set(change).where(eq(keys.id, key));
}

/** The first revocation is the one that is remembered. */
export async function markRevoked(env: Db, key: string, nowMs: number): Promise<void> {
  await database(env)
    .update(keys)
    .set({ revokedAtMs: nowMs })
    .where(and(eq(keys.id, key), isNull(keys.revokedAtMs)));
}

export async function keysPage(env: Db, account: string, { limit, after }: PageAsk): Promise<Page<KeyRow>> {
  const page = pageBy(keys.createdAtMs, keys.id, after);
  const rows = await database(env)
    .select()
    .from(keys)
    .where(and(eq(keys.account, account), page.where))
    .orderBy(...page.order)
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.createdAtMs, row.id]);
}
