/** About how long until an engine that starts (again) answers, by what its last start took. Pure. */

/** What is late by this many times its usual time is not known to come at all. */
const OVERDUE = 3;
const WAKE_MS_MIN = 100;

/** Undefined where that is not known, or it takes longer than it ever did. `startsAtMs` may lie ahead. */
export function wakeMsOf(startsAtMs: number, tookMs: number | undefined, nowMs: number): number | undefined {
  if (tookMs === undefined) return undefined;
  const overdueMs = nowMs - startsAtMs - tookMs;
  if (overdueMs > tookMs * OVERDUE) return undefined;
  return Math.max(WAKE_MS_MIN, Math.round(-overdueMs));
}
