/**
 * The history of usage and money in D1, as the projection writes it: in batches, one transaction each. (usage.ts reads.)
 *
 * Invariants: an account's events are applied in order and each once. The greatest `seq` of its ledger is how far they
 * are; every batch writes one. A batch is one transaction, and every statement in it holds only while the ledger still
 * ends where the batch begins; so a duplicate, a batch out of order, or two consumers at once change nothing. A
 * request's revisions are never overwritten; the highest one holds.
 *
 * Rows go in as one JSON parameter per statement: a hundred events of twenty columns are more parameters than D1 takes.
 */
import type { AccountEvent, UsageEvent } from "@sluice/protocol/account-log";
import { and, desc, eq, getTableColumns, lt } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Env } from "../core/env.ts";
import { database } from "./database.ts";
import { cutPage, type Page, type PageAsk } from "./page.ts";
import { regionOf, rollupSource, rollupUpsert } from "./rollups.ts";
import { ledgerEntries, usageEvents } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type UsageRow = typeof usageEvents.$inferSelect;
export type LedgerRow = typeof ledgerEntries.$inferSelect;

/** More accounts than one batch of the queue can name. */
const ACCOUNTS_MAX = 100;

/** How far D1 has each account's log; absent where it has nothing. */
export async function readApplied(env: Db, accounts: readonly string[]): Promise<Map<string, number>> {
  // A seek each: a grouped max would read the whole ledger.
  const { results } = await env.DB.prepare(
    `SELECT value AS account, (SELECT max(seq) FROM ledger_entries WHERE account = value) AS through
     FROM json_each(?1)`,
  )
    .bind(JSON.stringify(accounts.slice(0, ACCOUNTS_MAX)))
    .all<{ account: string; through: number | null }>();
  return new Map(results.flatMap(({ account, through }) => (through === null ? [] : [[account, through]])));
}

/**
 * Applies consecutive events that begin right after `through`, in one transaction. Returns how far D1 has the log now:
 * less than the last event where somebody else was faster.
 */
export async function applyEvents(
  env: Db,
  account: string,
  through: number,
  events: readonly AccountEvent[],
): Promise<number> {
  if (events.length === 0) return through;
  const usage = events.filter((event) => event.kind === "usage").map((event) => usageRow(account, event));
  const newest = new Map(usage.map((row) => [row.request, rollupSource(row)]));
  const write = (statement: string, rows: readonly object[]): D1PreparedStatement =>
    env.DB.prepare(statement).bind(JSON.stringify(rows), account, through);
  const statements = [
    ...(usage.length > 0 ? [write(ROLLUP_UPSERT, [...newest.values()]), write(USAGE_INSERT, usage)] : []),
    // Last: it moves what all of them go by.
    write(LEDGER_INSERT, ledgerRows(account, events)),
    env.DB.prepare(THROUGH).bind(account),
  ];
  const results = await env.DB.batch<{ through: number | null }>(statements);
  return results.at(-1)?.results[0]?.through ?? 0;
}

const THROUGH = "SELECT max(seq) AS through FROM ledger_entries WHERE account = ?1";
/** Only while the log stands where this batch begins. */
const GUARD = "coalesce((SELECT max(seq) FROM ledger_entries WHERE account = ?2), 0) = ?3";
const ROLLUP_UPSERT = rollupUpsert(GUARD);
const USAGE_INSERT = insertFromJson("usage_events", usageEvents);
const LEDGER_INSERT = insertFromJson("ledger_entries", ledgerEntries);

/** `INSERT ... SELECT` of one JSON array whose objects are keyed like the table in schema.ts. */
function insertFromJson(name: string, table: SQLiteTable): string {
  const keys = Object.keys(getTableColumns(table));
  const columns = keys.map((key) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  const values = keys.map((key) => `json_extract(value, '$.${key}')`);
  return `INSERT INTO ${name} (${columns.join(", ")})
    WITH batch AS MATERIALIZED (SELECT jsonb(value) AS value FROM json_each(?1))
    SELECT ${values.join(", ")} FROM batch WHERE ${GUARD} ON CONFLICT DO NOTHING`;
}

/** The attempts as they are: what is JSON within JSON is written out with a backslash before every quote, and SQLite prints it again. */
type UsageSource = Omit<UsageRow, "attempts"> & Pick<UsageEvent, "attempts">;

function usageRow(account: string, event: UsageEvent): UsageSource {
  const { kind: _, ...columns } = event;
  return { account, ...columns, region: regionOf(event) };
}

/** One entry per credit, and one for all the usage of the batch, also where it moved no money. */
function ledgerRows(account: string, events: readonly AccountEvent[]): LedgerRow[] {
  const rows: LedgerRow[] = [];
  let charged = 0;
  let last: UsageEvent | undefined;
  let count = 0;
  for (const event of events) {
    if (event.kind === "usage") {
      charged += event.chargedNanoUsd;
      last = event;
      count++;
    } else {
      const { seq, amountNanoUsd, note, atMs } = event;
      rows.push({ account, seq, kind: "credit", amountNanoUsd, events: 1, note, atMs });
    }
  }
  if (last !== undefined) {
    const { seq, closedAtMs } = last;
    const amountNanoUsd = charged === 0 ? 0 : -charged;
    rows.push({ account, seq, kind: "usage", amountNanoUsd, events: count, note: "", atMs: closedAtMs });
  }
  return rows;
}

/** The newest entries first. */
export async function ledgerPage(
  env: Db,
  account: string,
  { limit, after }: PageAsk,
): Promise<Page<LedgerRow>> {
  const older = after === undefined ? undefined : lt(ledgerEntries.seq, after[0]);
  const rows = await database(env)
    .select()
    .from(ledgerEntries)
    .where(and(eq(ledgerEntries.account, account), older))
    .orderBy(desc(ledgerEntries.seq))
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.seq, row.kind]);
}
