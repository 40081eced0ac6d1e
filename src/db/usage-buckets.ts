/**
 * An account's usage in buckets of time: by the hour and day from the rollups, by the minute from the rows themselves.
 * Ownership is in the WHERE of both: nothing of another account can be asked for.
 */
import { ulid } from "@sluice/protocol/ids";
import type { Env } from "../core/env.ts";
import { HOUR_MS } from "./rollups.ts";

export const GROUPS = ["key", "model", "region"] as const;
export type Group = (typeof GROUPS)[number];

export type BucketsAsk = {
  readonly account: string;
  /** [fromMs, toMs), both at the edge of a bucket. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly widthMs: number;
  readonly groupBy: readonly Group[];
  readonly rowsMax: number;
};

export type UsageBucket = {
  readonly startMs: number;
  /** Null where usage is not grouped by it. */
  readonly key: string | null;
  readonly model: string | null;
  readonly region: string | null;
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  readonly costNanoUsd: number;
};

const SUMS = `coalesce(sum(prompt_tokens), 0) AS promptTokens, coalesce(sum(cached_tokens), 0) AS cachedTokens,
  coalesce(sum(completion_tokens), 0) AS completionTokens, coalesce(sum(reasoning_tokens), 0) AS reasoningTokens,
  coalesce(sum(cost_nano_usd), 0) AS costNanoUsd`;

/** A request's id is made by a Worker, its admission dated by its account's object: two clocks. */
const CLOCKS_APART_MS = 10 * 60_000;
const NO_DICE = new Uint8Array(16);

/** Oldest first; at most `rowsMax` rows, and one more where there are too many. D1 binds every number as a float. */
export async function usageBuckets(env: Pick<Env, "DB">, ask: BucketsAsk): Promise<UsageBucket[]> {
  const { account, fromMs, toMs, widthMs, groupBy, rowsMax } = ask;
  const groups = GROUPS.map((group) => (groupBy.includes(group) ? group : `NULL AS ${group}`)).join(", ");
  const by = ["startMs", ...GROUPS.filter((group) => groupBy.includes(group))].join(", ");
  const fromRollups = widthMs >= HOUR_MS;
  const statement = fromRollups
    ? `SELECT hour_ms / CAST(?4 AS INTEGER) * CAST(?4 AS INTEGER) AS startMs, ${groups}, sum(requests) AS requests, ${SUMS} FROM rollups
       WHERE account = ?1 AND hour_ms >= ?2 AND hour_ms < ?3 AND requests > 0
       GROUP BY ${by} ORDER BY ${by} LIMIT ?5`
    : `SELECT admitted_at_ms / CAST(?4 AS INTEGER) * CAST(?4 AS INTEGER) AS startMs, ${groups}, count(*) AS requests, ${SUMS} FROM usage_events e
       WHERE account = ?1 AND admitted_at_ms >= ?2 AND admitted_at_ms < ?3 AND request >= ?6 AND request < ?7
         AND revision = (SELECT max(n.revision) FROM usage_events n WHERE n.account = e.account AND n.request = e.request)
       GROUP BY ${by} ORDER BY ${by} LIMIT ?5`;
  const binds = [account, fromMs, toMs, widthMs, rowsMax + 1];
  const ids = [firstIdAt(fromMs - CLOCKS_APART_MS), firstIdAt(toMs + CLOCKS_APART_MS)];
  const { results } = await env.DB.prepare(statement)
    .bind(...binds, ...(fromRollups ? [] : ids))
    .all<UsageBucket>();
  return results;
}

/** No request made at this moment or later has a smaller id. */
export function firstIdAt(atMs: number): string {
  return `req_${ulid(Math.max(0, atMs), NO_DICE)}`;
}
