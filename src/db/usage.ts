/**
 * Reading the history of usage. Request ids are ULIDs and the table is keyed by (account, request, revision), so the
 * newest requests of an account are the end of its stretch of the table: no index is needed and none exists.
 */
import { UsageEvent } from "@sluice/protocol/account-log";
import { and, asc, desc, eq, lt, sql } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import { database } from "./database.ts";
import { cutPage, type Page, type PageAsk } from "./page.ts";
import { usageEvents } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type UsageRow = typeof usageEvents.$inferSelect;

/** The newest requests first, each as its latest revision has it. */
export async function usagePage(
  env: Db,
  account: string,
  { limit, after }: PageAsk,
): Promise<Page<UsageRow>> {
  const latest = sql`${usageEvents.revision} = (select max(e.revision) from usage_events e
    where e.account = ${usageEvents.account} and e.request = ${usageEvents.request})`;
  const older = after === undefined ? undefined : lt(usageEvents.request, after[1]);
  const rows = await database(env)
    .select()
    .from(usageEvents)
    .where(and(eq(usageEvents.account, account), older, latest))
    .orderBy(desc(usageEvents.request))
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.admittedAtMs, row.request]);
}

/** Every revision of one request, the first first. */
export async function usageOf(env: Db, account: string, request: string): Promise<UsageRow[]> {
  return database(env)
    .select()
    .from(usageEvents)
    .where(and(eq(usageEvents.account, account), eq(usageEvents.request, request)))
    .orderBy(asc(usageEvents.revision));
}

/** A request's newest revision, as the account's object once sent it. */
export async function generationOf(
  env: Db,
  account: string,
  request: string,
): Promise<UsageEvent | undefined> {
  const row = (await usageOf(env, account, request)).at(-1);
  if (row === undefined) return undefined;
  return UsageEvent.parse({ ...row, kind: "usage", attempts: JSON.parse(row.attempts) });
}

/**
 * Whose request this is; undefined where no account that is listed has it. A seek per account: the table is keyed by the
 * account first, and an index for this one question would be a row more for every request.
 */
export async function accountOfRequest(env: Db, request: string): Promise<string | undefined> {
  const row = await env.DB.prepare(
    `SELECT a.id FROM accounts a CROSS JOIN usage_events e ON e.account = a.id AND e.request = ?1 LIMIT 1`,
  )
    .bind(request)
    .first<{ id: string }>();
  return row?.id;
}

/**
 * Of each request that has a row, by `<account> <request>`: how many attempts its newest revision knows. They are numbered
 * without gaps, so attempt n is known where there are more than n.
 */
export async function attemptsKnown(
  env: Db,
  requests: readonly { readonly account: string; readonly request: string }[],
): Promise<ReadonlyMap<string, number>> {
  if (requests.length === 0) return new Map();
  const { results } = await env.DB.prepare(
    `SELECT account, request, max(json_array_length(attempts)) AS attempts FROM json_each(?1) AS asked
       CROSS JOIN usage_events ON account = asked.value ->> 'account' AND request = asked.value ->> 'request'
     GROUP BY 1, 2`,
  )
    .bind(JSON.stringify(requests))
    .all<{ account: string; request: string; attempts: number }>();
  return new Map(results.map(({ account, request, attempts }) => [`${account} ${request}`, attempts]));
}
