/**
 * When nodes that had no room are asked once more. Pure.
 *
 * A busy refusal says when the node expects room; the one that expects it soonest is waited for, but never beyond the
 * moment by which a refusal has to be with the client. At that moment whoever is best placed is asked a last time: a
 * slot comes free when an answer ends, and nobody knows when that is. Each ask is a call of its own and a word to the
 * account's object, so there are a few of them, however long the wait.
 */
import type { Place } from "../core/place.ts";

/** Shorter waits are not worth a call. */
const WAIT_MIN_MS = 100;
/** A longer wait is cut in two: a client that has left is noticed between them. */
const WAIT_MAX_MS = 2_000;
/** Asks of one walk beyond its first round. */
export const ASKED_AGAIN_MAX = 4;

/** A node that was there and had no room. */
export type Busy = { readonly node: Place; readonly roomAtMs: number };

export type Again = { readonly waitMs: number; readonly node: Place };

/** Whom to ask after how long; undefined where it is time to give up. */
export function askAgain(
  busy: readonly Busy[],
  { nowMs, untilMs, asked }: { readonly nowMs: number; readonly untilMs: number; readonly asked: number },
): Again | undefined {
  const [soonest] = busy.toSorted((a, b) => a.roomAtMs - b.roomAtMs);
  if (soonest === undefined || asked >= ASKED_AGAIN_MAX || nowMs + WAIT_MIN_MS > untilMs) return undefined;
  const wantedMs = Math.min(Math.max(soonest.roomAtMs - nowMs, WAIT_MIN_MS), WAIT_MAX_MS);
  return { waitMs: Math.min(wantedMs, untilMs - nowMs), node: soonest.node };
}
