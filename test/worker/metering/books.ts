/** The books in D1 as they stand: what a test holds against what it sent. */
import { env } from "cloudflare:workers";
import { asc, eq, sql } from "drizzle-orm";
import { database } from "../../../src/db/database.ts";
import { ledgerEntries, rollups } from "../../../src/db/schema.ts";

/** The balance as the ledger tells it: what the account's object must agree with, up to what is not applied yet. */
export async function balanceFromLedger(account: string): Promise<number> {
  const [row] = await database(env)
    .select({ sum: sql<number>`coalesce(sum(${ledgerEntries.amountNanoUsd}), 0)` })
    .from(ledgerEntries)
    .where(eq(ledgerEntries.account, account));
  return row?.sum ?? 0;
}

/** All of an account, oldest hour first. */
export function rollupsOf(account: string): Promise<readonly (typeof rollups.$inferSelect)[]> {
  return database(env)
    .select()
    .from(rollups)
    .where(eq(rollups.account, account))
    .orderBy(asc(rollups.hourMs), asc(rollups.key), asc(rollups.model), asc(rollups.region))
    .all();
}
