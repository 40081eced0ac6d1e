/**
 * `GET /v1/usage`: the account's usage in buckets, in the shape of OpenAI's usage API (`start_time`, `end_time`,
 * `bucket_width`, `group_by`, `limit`, `page`; a page of buckets, each with its results). Pure but for the clock it is
 * given. A request counts in the bucket of its admission, as its newest revision has it.
 */
import { fromBase64Url, fromUtf8, toBase64Url, utf8 } from "@sluice/protocol/bytes";
import { z } from "zod";
import { printUsd } from "../core/money.ts";
import { GROUPS, type BucketsAsk, type Group, type UsageBucket } from "../db/usage-buckets.ts";
import { invalid, readQuery } from "./query.ts";

const WIDTHS = {
  "1m": { ms: 60_000, limit: 60, limitMax: 1_440 },
  "1h": { ms: 3_600_000, limit: 24, limitMax: 168 },
  "1d": { ms: 86_400_000, limit: 7, limitMax: 31 },
} as const;

/** Rows of one page, over all its buckets. */
const ROWS_MAX = 10_000;
const LATEST_S = 100_000_000_000;

const Seconds = z.coerce
  .number("is a time in whole seconds since 1970")
  .int("is a time in whole seconds since 1970")
  .min(0)
  .max(LATEST_S);

const UsageQuery = z.strictObject({
  start_time: Seconds.optional(),
  end_time: Seconds.optional(),
  bucket_width: z.enum(["1m", "1h", "1d"], "is 1m, 1h or 1d").default("1d"),
  group_by: z
    .array(z.enum([...GROUPS, "api_key_id"], "is key, model or region"))
    .transform((names) => names.map((name): Group => (name === "api_key_id" ? "key" : name)))
    .default([]),
  limit: z.coerce.number().int().min(1).optional(),
  page: z.string().max(64).optional(),
});

export type UsageAsk = Omit<BucketsAsk, "account"> & { readonly endMs: number };

/** Throws a FaultError. */
export function readUsageAsk(url: string, nowMs: number): UsageAsk {
  const query = readQuery(url, UsageQuery, ["group_by"]);
  const { ms: widthMs, limit: usual, limitMax } = WIDTHS[query.bucket_width];
  const { limit = usual } = query;
  if (limit > limitMax)
    throw invalid("limit", `'limit' is ${limitMax} at most with buckets of ${query.bucket_width}.`);
  const endMs = query.end_time === undefined ? nowMs : query.end_time * 1_000;
  const startMs = query.start_time === undefined ? endMs - (limit - 1) * widthMs : query.start_time * 1_000;
  if (startMs > endMs) throw invalid("start_time", "'start_time' is after 'end_time'.");
  const pageMs = query.page === undefined ? undefined : readPageToken(query.page);
  if (query.page !== undefined && (pageMs === undefined || pageMs % widthMs !== 0))
    throw invalid("page", "'page' is not one that a page of this query gave.");
  const fromMs = pageMs ?? startMs - (startMs % widthMs);
  const beyondMs = Math.max(fromMs, Math.ceil(endMs / widthMs) * widthMs);
  const toMs = Math.min(fromMs + limit * widthMs, beyondMs);
  return { fromMs, toMs, widthMs, groupBy: query.group_by, rowsMax: ROWS_MAX, endMs: beyondMs };
}

export function printUsagePage(ask: UsageAsk, rows: readonly UsageBucket[]) {
  if (rows.length > ask.rowsMax)
    throw invalid("limit", `A page has ${ask.rowsMax} results at most: ask for fewer buckets or groups.`);
  const byStart = Map.groupBy(rows, (row) => row.startMs);
  const data = [];
  for (let startMs = ask.fromMs; startMs < ask.toMs; startMs += ask.widthMs)
    data.push({
      object: "bucket",
      start_time: startMs / 1_000,
      end_time: (startMs + ask.widthMs) / 1_000,
      results: (byStart.get(startMs) ?? []).map(printResult),
    });
  const more = ask.toMs < ask.endMs;
  return { object: "page", data, has_more: more, next_page: more ? printPageToken(ask.toMs) : null };
}

function printResult(row: UsageBucket) {
  return {
    object: "usage.result",
    input_tokens: row.promptTokens,
    input_cached_tokens: row.cachedTokens,
    output_tokens: row.completionTokens,
    output_reasoning_tokens: row.reasoningTokens,
    num_model_requests: row.requests,
    cost: { currency: "USD", amount: printUsd(row.costNanoUsd), nano_usd: row.costNanoUsd },
    api_key_id: row.key,
    model: row.model,
    region: row.region,
  };
}

function printPageToken(atMs: number): string {
  return toBase64Url(utf8(String(atMs)));
}

function readPageToken(token: string): number | undefined {
  const bytes = fromBase64Url(token);
  if (bytes === undefined) return undefined;
  try {
    const text = fromUtf8(bytes);
    return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}
