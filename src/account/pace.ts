/**
 * When the log's new events leave for the queue. Pure: the clock is an argument. A message costs the same with one event as
 * with a hundred (the queue's three operations, two rows of D1, a consumer's call), so where events come all the time they
 * gather; who makes a few calls sees them at once. A bucket: a few messages may leave right away, and one more every
 * `gatherMs`.
 */
const AT_ONCE_MAX = 3;

export type Pace = {
  /** Messages that may leave now, fractions included. */
  readonly left: number;
  readonly atMs: number;
};

export const FRESH: Pace = { left: AT_ONCE_MAX, atMs: 0 };

function filled({ left, atMs }: Pace, nowMs: number, gatherMs: number): Pace {
  const gained = Math.max(0, nowMs - atMs) / gatherMs;
  return { left: Math.min(AT_ONCE_MAX, left + gained), atMs: Math.max(atMs, nowMs) };
}

/** How long what is there now waits for more, `projectDelayMs` at least. */
export function waitMs(
  pace: Pace,
  nowMs: number,
  { projectDelayMs, gatherMs }: { readonly projectDelayMs: number; readonly gatherMs: number },
): number {
  const { left } = filled(pace, nowMs, gatherMs);
  return Math.max(projectDelayMs, Math.ceil((1 - left) * gatherMs));
}

/** After a message has left. */
export function spent(pace: Pace, nowMs: number, gatherMs: number): Pace {
  const now = filled(pace, nowMs, gatherMs);
  return { left: Math.max(0, now.left - 1), atMs: now.atMs };
}
