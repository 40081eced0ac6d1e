/**
 * Keys to the admin interface, as D1 owns them. Only the hash of a key is stored; a row is never removed, so that the
 * audit log's names keep their meaning.
 */
import { and, eq, gt, isNull, or } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import { database } from "./database.ts";
import { cutPage, pageBy, type Page, type PageAsk } from "./page.ts";
import { adminKeys } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type AdminKeyRow = typeof adminKeys.$inferSelect;

export async function insertAdminKey(env: Db, row: AdminKeyRow): Promise<void> {
  await database(env).insert(adminKeys).values(row);
}

export async function adminKeyById(env: Db, id: string): Promise<AdminKeyRow | undefined> {
  const [row] = await database(env).select().from(adminKeys).where(eq(adminKeys.id, id));
  return row;
}

export async function adminKeysPage(env: Db, { limit, after }: PageAsk): Promise<Page<AdminKeyRow>> {
  const page = pageBy(adminKeys.createdAtMs, adminKeys.id, after);
  const rows = await database(env)
    .select()
    .from(adminKeys)
    .where(page.where)
    .orderBy(...page.order)
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.createdAtMs, row.id]);
}

/** The first revocation is the one that is remembered. */
export async function revokeAdminKey(env: Db, id: string, nowMs: number): Promise<void> {
  await database(env)
    .update(adminKeys)
    .set({ revokedAtMs: nowMs })
    .where(and(eq(adminKeys.id, id), isNull(adminKeys.revokedAtMs)));
}

/** The keys that a key has made and that still let somebody in; a hundred at most. */
export async function liveKeysMadeBy(env: Db, id: string, nowMs: number): Promise<string[]> {
  const alive = or(isNull(adminKeys.expiresAtMs), gt(adminKeys.expiresAtMs, nowMs));
  const rows = await database(env)
    .select({ id: adminKeys.id })
    .from(adminKeys)
    .where(and(eq(adminKeys.madeBy, id), isNull(adminKeys.revokedAtMs), alive))
    .limit(100);
  return rows.map((row) => row.id);
}
