/**
 * What an account or a key has used of its limits: two buckets for the minute, counters for the UTC day and month, and all
 * it ever spent. Pure; each function gives the next state. A day's counters are those of the day they were counted in and
 * nothing the moment the next one begins; a clock that steps back stays in the day it had reached.
 */
import { z } from "zod";
import type { Limits } from "../core/limits.ts";
import { fill, giveBack, take } from "./bucket.ts";

const DAY_MS = 24 * 60 * 60_000;
const MONTHS = 12;

const BucketJson = z.object({ left: z.number(), atMs: z.number() });

/** What was ever spent may grow beyond what an integer says exactly: then it is at least so much, and stays. */
const Spent = z.number().transform(atMost);

function atMost(nanoUsd: number): number {
  return Math.min(nanoUsd, Number.MAX_SAFE_INTEGER);
}

/** As it is kept in a row. */
export const UsedJson = z.object({
  requests: BucketJson.optional(),
  /** Calls that repeat others. Of their own accord they write no row, so a restart may forget them. */
  repeats: BucketJson.optional(),
  tokens: BucketJson.optional(),
  /** The day the figures are of, counted from 1970 in UTC. */
  day: z.int(),
  dayRequests: z.int(),
  dayNanoUsd: Spent,
  /** Year times twelve and the month, in UTC. */
  month: z.int(),
  monthNanoUsd: Spent,
  totalNanoUsd: Spent,
});
export type Used = Readonly<z.infer<typeof UsedJson>>;

export const UNUSED: Used = {
  day: 0,
  dayRequests: 0,
  dayNanoUsd: 0,
  month: 0,
  monthNanoUsd: 0,
  totalNanoUsd: 0,
};

export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

export function monthOf(ms: number): number {
  const date = new Date(ms);
  return date.getUTCFullYear() * MONTHS + date.getUTCMonth();
}

export function dayEndMs(day: number): number {
  return (day + 1) * DAY_MS;
}

export function monthEndMs(month: number): number {
  return Date.UTC(Math.floor(month / MONTHS), (month % MONTHS) + 1, 1);
}

/** As of now: what belongs to a day or a month that is over counts for nothing. */
export function asOf(used: Used, nowMs: number): Used {
  const [day, month] = [dayOf(nowMs), monthOf(nowMs)];
  if (day <= used.day && month <= used.month) return used;
  const sameDay = day <= used.day ? used : { ...used, day, dayRequests: 0, dayNanoUsd: 0 };
  return month <= used.month ? sameDay : { ...sameDay, month, monthNanoUsd: 0 };
}

/** One request more, with so many tokens. */
export function withRequest(used: Used, limits: Limits, tokens: number, nowMs: number): Used {
  const now = asOf(used, nowMs);
  const perMinute = limits.requestsPerMinute;
  const requests = perMinute === null ? undefined : take(fill(used.requests, perMinute, nowMs), 1);
  const counted: Used = { ...now, dayRequests: now.dayRequests + 1 };
  return withTokens(requests === undefined ? counted : { ...counted, requests }, limits, tokens, nowMs);
}

/** One call more that repeats another: it runs nothing, and is no request of the day. */
export function withRepeat(used: Used, limits: Limits, nowMs: number): Used {
  const perMinute = limits.requestsPerMinute;
  return perMinute === null ? used : { ...used, repeats: take(fill(used.repeats, perMinute, nowMs), 1) };
}

/** So many tokens more, or, where negative, so many that were taken and not used. */
export function withTokens(used: Used, limits: Limits, tokens: number, nowMs: number): Used {
  const perMinute = limits.tokensPerMinute;
  if (perMinute === null || tokens === 0) return used;
  const filled = fill(used.tokens, perMinute, nowMs);
  return { ...used, tokens: tokens > 0 ? take(filled, tokens) : giveBack(filled, -tokens, perMinute) };
}

export function withSpending(used: Used, nanoUsd: number, nowMs: number): Used {
  const now = asOf(used, nowMs);
  return {
    ...now,
    dayNanoUsd: atMost(now.dayNanoUsd + nanoUsd),
    monthNanoUsd: atMost(now.monthNanoUsd + nanoUsd),
    totalNanoUsd: atMost(now.totalNanoUsd + nanoUsd),
  };
}

/** Money that was spent at `spentAtMs` came back: it makes room in that day and month, where they still run. */
export function withRefund(used: Used, nanoUsd: number, spentAtMs: number, nowMs: number): Used {
  const now = asOf(used, nowMs);
  const sameDay = dayOf(spentAtMs) >= now.day;
  const sameMonth = monthOf(spentAtMs) >= now.month;
  return {
    ...now,
    dayNanoUsd: sameDay ? Math.max(0, now.dayNanoUsd - nanoUsd) : now.dayNanoUsd,
    monthNanoUsd: sameMonth ? Math.max(0, now.monthNanoUsd - nanoUsd) : now.monthNanoUsd,
    totalNanoUsd: Math.max(0, now.totalNanoUsd - nanoUsd),
  };
}
