/**
 * The newest T of which this holds: every call I accepted whose last valid moment is at or before T has been named in
 * an acknowledged beat, and from now on I refuse any such call. Pure.
 *
 * A call accepted later is valid at the edge's time then, so its last valid moment lies at or after now: T stays below
 * now. A call that may yet begin, or that began and has not been named, keeps T below its last valid moment. And T never
 * falls below what was promised before.
 */
import { CALL_VALID_MS } from "@sluice/protocol/limits";

export type CompleteThroughAsk = {
  readonly promisedMs: number;
  readonly edgeNowMs: number;
  /** Last valid moments of calls that are being looked at. */
  readonly pendingLastValidMs: readonly number[];
  /** Issued-at of the oldest call that began and has not been named. */
  readonly oldestUnnamedIssuedAtMs: number | undefined;
};

export function completeThrough(ask: CompleteThroughAsk): number {
  let through = ask.edgeNowMs - 1;
  for (const lastValidMs of ask.pendingLastValidMs) through = Math.min(through, lastValidMs - 1);
  if (ask.oldestUnnamedIssuedAtMs !== undefined)
    through = Math.min(through, ask.oldestUnnamedIssuedAtMs + CALL_VALID_MS - 1);
  return Math.max(ask.promisedMs, through, 0);
}

/** Whether a call may still be taken, after what has been promised. */
export function isPromisedAway(issuedAtMs: number, promisedMs: number): boolean {
  return issuedAtMs + CALL_VALID_MS <= promisedMs;
}
