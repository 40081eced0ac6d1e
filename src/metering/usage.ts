/**
 * What a request cost and who served it, as one may ask afterwards: the row that holds now, with its attempts. Reads
 * D1 only; a request that closed a moment ago appears when its event has been projected, a second or two later.
 */
import { AttemptTrace } from "@sluice/protocol/account";
import { z } from "zod";
import type { Env } from "../core/env.ts";
import { latestUsage, usageOf, type UsageRow } from "../db/ledger.ts";

/** A page has no more than this, whatever was asked. */
export const USAGE_PAGE_MAX = 1_000;

export type Usage = Omit<UsageRow, "attempts"> & { readonly attempts: readonly AttemptTrace[] };

const Attempts = z.array(AttemptTrace);

function readUsage(row: UsageRow): Usage {
  return { ...row, attempts: Attempts.parse(JSON.parse(row.attempts)) };
}

/** Every revision, oldest first: the last one holds. Empty where nothing is known (yet). */
export async function usageHistory(
  env: Pick<Env, "DB">,
  account: string,
  request: string,
): Promise<readonly Usage[]> {
  return (await usageOf(env, account, request)).map(readUsage);
}

/** The latest requests of an account as they stand now, newest first; `before` continues where a page ended. */
export async function usagePage(
  env: Pick<Env, "DB">,
  account: string,
  page: { readonly limit: number; readonly before?: string | undefined },
): Promise<readonly Usage[]> {
  const limit = Math.min(Math.max(1, page.limit), USAGE_PAGE_MAX);
  return (await latestUsage(env, account, { limit, before: page.before })).map(readUsage);
}
