/**
 * What comparing the books asks of D1: sums of an account's ledger and usage between two numbers of its log, and rollups
 * beside the rows they come from. Sums up to a number that was compared before are remembered, so that nothing is added
 * up twice; each question reads a bounded stretch.
 */
import { assert } from "../core/assert.ts";
import type { Env } from "../core/env.ts";
import { HOUR_MS, SUMS } from "./rollups.ts";
import { firstIdAt } from "./usage-buckets.ts";

type Db = Pick<Env, "DB">;

export type Checkpoint = {
  readonly throughSeq: number;
  readonly ledgerNanoUsd: number;
  /** When the newest entry through there was made: how old the requests beyond it may be goes by this. */
  readonly atMs: number;
};

const BEGINNING: Checkpoint = { throughSeq: 0, ledgerNanoUsd: 0, atMs: 0 };
/** Entries of a ledger that one comparison adds up. */
export const ENTRIES_MAX = 20_000;
/** A revision comes at most this long after its request: a week, and the time a node may take to come back. */
export const REVISED_WITHIN_MS = 8 * 24 * HOUR_MS;
/** Ids begin with the time a Worker gave them, which is another clock than the account's: some minutes apart at most. */
const IDS_APART_MS = 10 * 60_000;

export async function checkpointOf(env: Db, account: string): Promise<Checkpoint> {
  const row = await env.DB.prepare(
    "SELECT through_seq AS throughSeq, ledger_nano_usd AS ledgerNanoUsd, at_ms AS atMs FROM reconciled WHERE account = ?1",
  )
    .bind(account)
    .first<Checkpoint>();
  return row ?? BEGINNING;
}

/** Never moves one back: another comparison may have come farther meanwhile. */
export async function saveCheckpoint(env: Db, account: string, point: Checkpoint): Promise<void> {
  await env.DB.prepare(
    `INSERT INTO reconciled VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT DO UPDATE SET through_seq = ?2, ledger_nano_usd = ?3, at_ms = ?4 WHERE through_seq <= ?2`,
  )
    .bind(account, point.throughSeq, point.ledgerNanoUsd, point.atMs)
    .run();
}

/** The next comparison begins at the ledger's beginning. */
export async function forgetCheckpoint(env: Db, account: string): Promise<void> {
  await env.DB.prepare("DELETE FROM reconciled WHERE account = ?1").bind(account).run();
}

export type LedgerSums = {
  /** Of the last entry that was added up; and of the last there is. */
  readonly uptoSeq: number;
  readonly throughSeq: number;
  readonly ledgerNanoUsd: number;
  /** What entries of usage say: how much was charged, in how many events. */
  readonly chargedNanoUsd: number;
  readonly usageEvents: number;
  /** The same, by the rows of usage themselves. */
  readonly rowsChargedNanoUsd: number;
  readonly rows: number;
  /** When the first and the last of the entries that were added up were made; 0 where there is none. */
  readonly oldestAtMs: number;
  readonly newestAtMs: number;
};

/**
 * Beyond a checkpoint. The rows are read after the entries, and are those up to the last entry that was added up: what is
 * applied meanwhile lies beyond, and what was applied is never written over.
 */
export async function ledgerSums(env: Db, account: string, from: Checkpoint): Promise<LedgerSums> {
  const { throughSeq, atMs } = from;
  const ledger = await env.DB.prepare(
    `SELECT coalesce(max(seq), ?2) AS uptoSeq, coalesce(min(at_ms), 0) AS oldestAtMs, coalesce(max(at_ms), 0) AS newestAtMs,
       coalesce(sum(amount_nano_usd), 0) AS ledgerNanoUsd,
       coalesce(-sum(amount_nano_usd) FILTER (WHERE kind = 'usage'), 0) AS chargedNanoUsd,
       coalesce(sum(events) FILTER (WHERE kind = 'usage'), 0) AS usageEvents,
       coalesce((SELECT max(seq) FROM ledger_entries WHERE account = ?1), 0) AS throughSeq
     FROM (SELECT seq, kind, amount_nano_usd, events, at_ms FROM ledger_entries
       WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ${ENTRIES_MAX})`,
  )
    .bind(account, throughSeq)
    .first<Omit<LedgerSums, "rows" | "rowsChargedNanoUsd">>();
  assert(ledger !== null, "sums without groups are one row");
  const usage = await env.DB.prepare(
    `SELECT count(*) AS rows, coalesce(sum(charged_nano_usd), 0) AS rowsChargedNanoUsd FROM usage_events
     WHERE account = ?1 AND request >= ?4 AND request < ?5 AND seq > ?2 AND seq <= ?3`,
  )
    .bind(
      account,
      throughSeq,
      ledger.uptoSeq,
      firstIdAt(atMs - REVISED_WITHIN_MS),
      firstIdAt(ledger.newestAtMs + IDS_APART_MS),
    )
    .first<Pick<LedgerSums, "rows" | "rowsChargedNanoUsd">>();
  assert(usage !== null, "sums without groups are one row");
  return { ...ledger, ...usage, ledgerNanoUsd: from.ledgerNanoUsd + ledger.ledgerNanoUsd };
}

/** What the rollups of [?2, ?3) ought to be. */
const FROM_ROWS = `
  SELECT account, admitted_at_ms / ${HOUR_MS} * ${HOUR_MS} AS hour_ms, key, model, region, count(*) AS requests,
    ${SUMS.map((column) => `sum(${column}) AS ${column}`).join(", ")}
  FROM usage_events e
  WHERE account = ?1 AND admitted_at_ms >= ?2 AND admitted_at_ms < ?3 AND request >= ?4 AND request < ?5
    AND revision = (SELECT max(n.revision) FROM usage_events n WHERE n.account = e.account AND n.request = e.request)
  GROUP BY 1, 2, 3, 4, 5`;

function hours(account: string, fromMs: number, toMs: number): unknown[] {
  return [account, fromMs, toMs, firstIdAt(fromMs - IDS_APART_MS), firstIdAt(toMs + IDS_APART_MS)];
}

/** Hours in [fromMs, toMs), both at an hour's edge, whose rollups are not the sums of their rows. */
export async function wrongHours(env: Db, account: string, fromMs: number, toMs: number): Promise<number[]> {
  const columns = ["account", "hour_ms", "key", "model", "region", "requests", ...SUMS].join(", ");
  const kept = `SELECT ${columns} FROM rollups WHERE account = ?1 AND hour_ms >= ?2 AND hour_ms < ?3 AND requests <> 0`;
  const { results } = await env.DB.prepare(
    `WITH made AS (${FROM_ROWS}), kept AS (${kept})
     SELECT DISTINCT hour_ms AS hourMs FROM (
       SELECT * FROM (SELECT * FROM made EXCEPT SELECT * FROM kept)
       UNION ALL SELECT * FROM (SELECT * FROM kept EXCEPT SELECT * FROM made)) ORDER BY 1`,
  )
    .bind(...hours(account, fromMs, toMs))
    .all<{ hourMs: number }>();
  return results.map(({ hourMs }) => hourMs);
}

/** Makes an hour's rollups anew, from its rows. */
export async function remakeHour(env: Db, account: string, hourMs: number): Promise<void> {
  const values = hours(account, hourMs, hourMs + HOUR_MS);
  await env.DB.batch([
    env.DB.prepare("DELETE FROM rollups WHERE account = ?1 AND hour_ms = ?2").bind(account, hourMs),
    env.DB.prepare(`INSERT INTO rollups ${FROM_ROWS}`).bind(...values),
  ]);
}
