/**
 * What an operator should look at, as rows in D1: one per kind, subject and UTC day, however often it happens, so that a
 * node gone bad fills no table. And rarely: an isolate writes the same alert once a minute at most and counts what
 * happens in between, so `times` is a number of at least (an isolate that ends takes its last minute's count along).
 *
 * Raising an alert never fails what it is about: whatever goes wrong here is logged.
 */
import { and, desc, eq, isNull, lt } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import { log, logError } from "../core/log.ts";
import { database } from "./database.ts";
import { cutPage, type Page, type PageAsk } from "./page.ts";
import { alerts } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type AlertRow = typeof alerts.$inferSelect;

export type AlertKind =
  /** A receipt whose signature or ticket is not what it claims to be. Subject: the node that brought it. */
  | "receipt_forged"
  /** One that says what its ticket or arithmetic rules out: more than the ceiling, less than nothing. */
  | "receipt_impossible"
  /** One that this deployment cannot read; it comes again until somebody can. */
  | "receipt_unreadable"
  /** A second receipt of an attempt that says something else than the first, which stands. */
  | "receipt_contradicts"
  /** One beyond what its account held; counted up to there. */
  | "receipt_beyond_hold"
  /** A late receipt proved more than was held: the operator's loss. Subject: the account. */
  | "write_off"
  /** Ten tries did not bring events into D1. Subject: the account. */
  | "dead_letter"
  /** Object, ledger, usage, rollups or a node's journal disagree. Subject: the account. */
  | "books_differ"
  /** A node journalled what has no row, or its receipts are not taken. Subject: the node. */
  | "journal_unbilled"
  /** An upstream does not take our key, or our calls, or its key cannot be opened. Subject: the upstream. */
  | "upstream_unusable";

export type Alert = { readonly kind: AlertKind; readonly subject: string; readonly detail: string };

const QUIET_MS = 60_000;
const REMEMBERED_MAX = 1_000;
const DETAIL_CHARS_MAX = 300;

/** By id: until when this isolate only counts, and what it has counted. */
const quiet = new Map<string, { untilMs: number; times: number }>();

export async function raiseAlert(env: Db, { kind, subject, detail }: Alert, nowMs: number): Promise<void> {
  const id = `${new Date(nowMs).toISOString().slice(0, 10)}/${kind}/${subject}`;
  const known = quiet.get(id);
  if (known !== undefined && nowMs < known.untilMs) {
    known.times++;
    return;
  }
  if (quiet.size >= REMEMBERED_MAX) quiet.clear();
  quiet.set(id, { untilMs: nowMs + QUIET_MS, times: 0 });
  const said = detail.slice(0, DETAIL_CHARS_MAX);
  log("alert", { kind, subject, detail: said });
  try {
    await env.DB.prepare(
      `INSERT INTO alerts (id, kind, subject, detail, times, first_at_ms, last_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
       ON CONFLICT DO UPDATE SET detail = ?4, times = times + ?5, last_at_ms = ?6, seen_at_ms = NULL`,
    )
      .bind(id, kind, subject, said, 1 + (known?.times ?? 0), nowMs)
      .run();
  } catch (error) {
    logError("alert_not_written", error, { kind, subject });
  }
}

/** The newest day first; those nobody has seen, or all. */
export async function alertsPage(
  env: Db,
  withSeen: boolean,
  { limit, after }: PageAsk,
): Promise<Page<AlertRow>> {
  const rows = await database(env)
    .select()
    .from(alerts)
    .where(
      and(
        after === undefined ? undefined : lt(alerts.id, after[1]),
        withSeen ? undefined : isNull(alerts.seenAtMs),
      ),
    )
    .orderBy(desc(alerts.id))
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.lastAtMs, row.id]);
}

/** Marks one as seen, or all there are now. How many that was. */
export async function markAlertsSeen(env: Db, id: string | undefined, nowMs: number): Promise<number> {
  const result = await database(env)
    .update(alerts)
    .set({ seenAtMs: nowMs })
    .where(and(isNull(alerts.seenAtMs), id === undefined ? undefined : eq(alerts.id, id)));
  return result.meta.changes;
}
