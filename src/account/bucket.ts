/**
 * The bucket behind what is allowed per minute: requests, or tokens. Pure: the clock is an argument. It starts full, holds
 * at most one minute's worth and fills evenly, so that in any stretch of time it grants no more than one minute's worth
 * plus what the time itself brings. A clock that steps back brings nothing.
 */
const MINUTE_MS = 60_000;

export type Bucket = {
  /** What is left, fractions included. */
  readonly left: number;
  readonly atMs: number;
};

/** The bucket as it stands now; undefined is one that was never used. A lowered limit empties it to the new size. */
export function fill(bucket: Bucket | undefined, perMinute: number, nowMs: number): Bucket {
  if (bucket === undefined) return { left: perMinute, atMs: nowMs };
  const gained = (Math.max(0, nowMs - bucket.atMs) * perMinute) / MINUTE_MS;
  return { left: Math.min(perMinute, bucket.left + gained), atMs: Math.max(nowMs, bucket.atMs) };
}

/** Zero where the bucket has that much to give now; else how long until it has, or a minute where it never will. */
export function waitForMs(filled: Bucket, amount: number, perMinute: number): number {
  if (filled.left >= amount) return 0;
  return amount > perMinute ? MINUTE_MS : Math.ceil(((amount - filled.left) * MINUTE_MS) / perMinute);
}

export function take(filled: Bucket, amount: number): Bucket {
  return { left: filled.left - amount, atMs: filled.atMs };
}

/** What was taken and not used comes back; a bucket never holds more than it can. */
export function giveBack(filled: Bucket, amount: number, perMinute: number): Bucket {
  return { left: Math.min(perMinute, filled.left + amount), atMs: filled.atMs };
}

/** How long until it is full again. */
export function fullInMs(filled: Bucket, perMinute: number): number {
  return perMinute === 0 ? 0 : Math.ceil(((perMinute - filled.left) * MINUTE_MS) / perMinute);
}
