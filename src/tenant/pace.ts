/**
 * How often an account may ask the books: they are in D1, which is everybody's, and a page of usage reads as many rows as there were
 * requests. Counted in this isolate, in points: a page is worth ten requests looked up by their id.
 */
import { fill, take, waitForMs, type Bucket } from "../account/bucket.ts";
import { FaultError } from "../core/fault.ts";

const POINTS_PER_MINUTE = 600;
const POINTS = { generation: 1, usage: 10 } as const;
/** Accounts remembered; beyond it memory starts anew. */
const ACCOUNTS_MAX = 10_000;

const buckets = new Map<string, Bucket>();

/** Throws a FaultError `rate_limited`. */
export function takePoints(account: string, what: keyof typeof POINTS, nowMs: number): void {
  const points = POINTS[what];
  const bucket = fill(buckets.get(account), POINTS_PER_MINUTE, nowMs);
  const retryAfterMs = waitForMs(bucket, points, POINTS_PER_MINUTE);
  if (retryAfterMs > 0)
    throw new FaultError({
      kind: "rate_limited",
      limit: "requests_per_minute",
      scope: "account",
      max: POINTS_PER_MINUTE / points,
      retryAfterMs,
    });
  if (buckets.size >= ACCOUNTS_MAX) buckets.clear();
  buckets.set(account, take(bucket, points));
}
