/** How far the work that cron does in steps has come, so that the next step goes on there. */
import type { Env } from "../core/env.ts";
import { eq } from "drizzle-orm";
import { database } from "./database.ts";
import { chores } from "./schema.ts";

type Db = Pick<Env, "DB">;

/** "" where it begins. */
export async function choreCursor(env: Db, name: string): Promise<string> {
  const [row] = await database(env).select().from(chores).where(eq(chores.name, name));
  return row?.cursor ?? "";
}

export async function saveChoreCursor(env: Db, name: string, cursor: string, nowMs: number): Promise<void> {
  const row = { name, cursor, atMs: nowMs };
  await database(env).insert(chores).values(row).onConflictDoUpdate({ target: chores.name, set: row });
}

/** Accounts in the order of their ids, those that were deleted included. */
export async function accountsAfter(env: Db, account: string, limit: number): Promise<string[]> {
  const { results } = await env.DB.prepare("SELECT id FROM accounts WHERE id > ?1 ORDER BY id LIMIT ?2")
    .bind(account, limit)
    .all<{ id: string }>();
  return results.map(({ id }) => id);
}

/** Nodes in the order of their ids, but those that were removed. */
export async function nodesAfter(env: Db, node: string, limit: number): Promise<string[]> {
  const { results } = await env.DB.prepare(
    "SELECT id FROM nodes WHERE removed_at_ms IS NULL AND id > ?1 ORDER BY id LIMIT ?2",
  )
    .bind(node, limit)
    .all<{ id: string }>();
  return results.map(({ id }) => id);
}
