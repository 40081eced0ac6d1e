/**
 * Rollups: what an account used, by hour of admission, key, model and region; read by `/v1/usage`, written by the
 * transaction that brings the rows they come from (ledger.ts).
 *
 * Invariant: a rollup is the sum over the newest revision of each request, and nothing else. A correction therefore
 * takes back what the revision before it had added, in the hour, model and region it had added it to, and adds itself.
 */
import type { UsageEvent } from "@sluice/protocol/account-log";

export const HOUR_MS = 3_600_000;

/** What a rollup adds up, by column: the reconciliation adds up the same. */
export const SUMS = [
  "prompt_tokens",
  "cached_tokens",
  "completion_tokens",
  "reasoning_tokens",
  "cost_nano_usd",
  "write_off_nano_usd",
] as const;

const BUCKET = `account, admitted_at_ms / ${HOUR_MS} * ${HOUR_MS}, key, model, region`;

/** What the upsert reads of a usage row. */
const SOURCE_COLUMNS = ["request", "revision", "key", "model", "region", "admitted_at_ms", ...SUMS] as const;

function camel(column: string): string {
  return column.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const SOURCE_FIELDS = SOURCE_COLUMNS.map(camel);

/** Of a usage row what the upsert reads: receipts are most of a row, and none of a sum. */
export function rollupSource(row: object): object {
  const fields = row as { readonly [field: string]: unknown };
  const source: { [field: string]: unknown } = {};
  for (const field of SOURCE_FIELDS) source[field] = fields[field];
  return source;
}

/**
 * ?1: the newest revision of each request of a batch, as JSON (`rollupSource`). Comes before the rows themselves, because what it takes
 * back is what they replace. `guard` is the batch's own condition, over ?2 (account) and ?3.
 *
 * MATERIALIZED and CROSS JOIN are for the planner: left to itself it reads all that the account ever used, and the batch's
 * text again for each row of that.
 */
export function rollupUpsert(guard: string): string {
  const fresh = SOURCE_COLUMNS.map((column) => `json_extract(value, '$.${camel(column)}') AS ${column}`);
  const picked = ["key", "model", "region", "admitted_at_ms", ...SUMS].join(", ");
  return `
    INSERT INTO rollups
    WITH batch AS MATERIALIZED (SELECT jsonb(value) AS value FROM json_each(?1)),
    fresh AS MATERIALIZED (SELECT ?2 AS account, ${fresh.join(", ")} FROM batch),
    replaced AS (
      SELECT old.* FROM fresh CROSS JOIN usage_events old ON old.account = ?2 AND old.request = fresh.request
      WHERE fresh.revision > 0 AND old.revision =
        (SELECT max(e.revision) FROM usage_events e WHERE e.account = ?2 AND e.request = fresh.request)),
    changes AS (
      SELECT 1 AS sign, account, ${picked} FROM fresh
      UNION ALL SELECT -1, account, ${picked} FROM replaced)
    SELECT ${BUCKET}, sum(sign), ${SUMS.map((column) => `sum(sign * ${column})`).join(", ")}
    FROM changes WHERE ${guard} GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT DO UPDATE SET ${["requests", ...SUMS].map((sum) => `${sum} = ${sum} + excluded.${sum}`).join(", ")}`;
}

/** Where a request ran, for the rollups: in the region of the last attempt that made something, or was tried. */
export function regionOf({ attempts }: Pick<UsageEvent, "attempts">): string {
  const made = attempts.findLast(({ region, to }) => region !== null && to > 0);
  return (made ?? attempts.findLast(({ region }) => region !== null))?.region ?? "";
}
