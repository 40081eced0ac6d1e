/**
 * What comes in: bodies and queries, bounded and parsed once. Every schema is strict: a field nobody knows is an error,
 * because a misspelt limit that is silently ignored is an account without that limit.
 */
import { fromUtf8 } from "@sluice/protocol/bytes";
import { AccountId, homeOf, Region } from "@sluice/protocol/ids";
import { CacheMode } from "@sluice/protocol/account";
import type { Context } from "hono";
import { z } from "zod";
import { TTL_MAX_S, TTL_MIN_S } from "../cache/policy.ts";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { readCursor, type PageAsk } from "../db/page.ts";
import { readBody } from "../wire/body.ts";
import { Complaint, fromZod, wrong } from "./complaint.ts";
import type { Admin } from "./token.ts";

/** `admin`: who calls, as the guard in app.ts has found. */
export type AdminEnv = { Bindings: Env; Variables: { admin: Admin } };
export type AdminContext = Context<AdminEnv>;

const BODY_BYTES_MAX = 64 * 1024;
const PAGE_ROWS_DEFAULT = 50;
const PAGE_ROWS_MAX = 200;
const REGIONS_MAX = 32;
/** A million dollars: more is a slip of the keyboard. */
export const NANO_USD_MAX = 1_000_000_000_000_000;

/** One line: it stands in tables, in logs and in CSV. */
export const Name = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^\P{Cc}*$/u, "has a control character, a line break perhaps");
/** Null lifts a limit. */
const count = (max: number) => z.int().min(1).max(max).nullable().exactOptional();
/** Nothing at all is a budget too: what is free of charge passes it. */
const budget = z.int().min(0).max(NANO_USD_MAX).nullable().exactOptional();

/** The limits of an account or a key; days and months are UTC's. */
export const LIMITS = {
  requestsPerMinute: count(1_000_000),
  tokensPerMinute: count(1_000_000_000),
  requestsPerDay: count(1_000_000_000),
  concurrency: count(1_000_000),
  budgetDayNanoUsd: budget,
  budgetMonthNanoUsd: budget,
  budgetTotalNanoUsd: budget,
};
/** Null: any region. */
export const Regions = z.array(Region).min(1).max(REGIONS_MAX).nullable();

/** Of cached answers; null: the default. */
export const Cache = z
  .strictObject({
    mode: CacheMode.exactOptional(),
    ttlS: z.int().min(TTL_MIN_S).max(TTL_MAX_S).exactOptional(),
  })
  .nullable();

export async function readInput<Schema extends z.ZodType>(
  c: AdminContext,
  schema: Schema,
): Promise<z.output<Schema>> {
  const parsed = schema.safeParse(await readJson(c.req.raw));
  if (!parsed.success) throw fromZod(parsed.error);
  return parsed.data;
}

async function readJson(request: Request): Promise<unknown> {
  try {
    const text = fromUtf8(await readBody(request, BODY_BYTES_MAX));
    // No body is an empty one: a command without arguments needs none.
    return text.trim() === "" ? {} : JSON.parse(text);
  } catch (error) {
    if (error instanceof FaultError && error.fault.kind === "too_large")
      throw new Complaint("too_large", `a request has at most ${BODY_BYTES_MAX} bytes`);
    if (error instanceof FaultError && error.fault.kind === "too_slow")
      throw new Complaint("too_slow", "the body did not arrive in time: send it again");
    throw new Complaint("invalid_request", "the body is not JSON");
  }
}

const LIMIT = `is a whole number from 1 to ${PAGE_ROWS_MAX}`;

const PageQuery = z.object({
  limit: z.coerce.number(LIMIT).int(LIMIT).min(1, LIMIT).max(PAGE_ROWS_MAX, LIMIT).default(PAGE_ROWS_DEFAULT),
  cursor: z.string().optional(),
});

/** `?limit=50&cursor=...`, the cursor as a page before gave it. */
export function readPage(c: AdminContext): PageAsk {
  const parsed = PageQuery.safeParse(c.req.query());
  if (!parsed.success) throw fromZod(parsed.error);
  const { limit, cursor } = parsed.data;
  const after = cursor === undefined ? undefined : readCursor(cursor);
  if (cursor !== undefined && after === undefined) throw wrong("cursor", "is not one that a page gave");
  return { limit, after };
}

/** An id out of the path. A malformed one names nothing, so it is not found. */
export function pathId(c: AdminContext, name: string, schema: z.ZodType<string>, what: string): string {
  const parsed = schema.safeParse(c.req.param(name));
  if (!parsed.success) throw new Complaint("not_found", `there is no such ${what}`);
  return parsed.data;
}

/** Where an account may live. Local runs have one place only: workerd knows no jurisdictions. */
export const HOMES = ["any", "eu", "fedramp"] as const;

export function hasHome(env: Pick<Env, "SLUICE_DEV">, home: string): boolean {
  return home === "any" || (env.SLUICE_DEV !== "1" && HOMES.some((known) => known === home));
}

export function accountOf(c: AdminContext): string {
  const account = pathId(c, "account", AccountId, "account");
  if (!hasHome(c.env, homeOf(account))) throw new Complaint("not_found", "there is no such account");
  return account;
}
