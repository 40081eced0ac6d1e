/**
 * Which beat is the newest word of a node, and how much of its `complete through` may be believed. Pure.
 *
 * A node that is restarted has a new boot id, and the older process may still be alive somewhere: partitioned, or not
 * yet stopped. Boot ids are ULIDs, so the greater one is the newer one and fences the older. The exception is a clock
 * that went backwards between two boots: then the newer process looks older, and would be refused until its clock had
 * caught up. So whoever speaks while the fencing boot has been silent for a while is believed: it is alive.
 */

/** A boot silent for this long no longer fences an id below its own. */
export const BOOT_SILENT_MS = 10_000;

export type LastBeat = {
  readonly boot: string;
  readonly seq: number;
  readonly beatAtMs: number;
};

/** Whether a beat replaces what is known of its node. A refused beat changes nothing, not even the silence. */
export function isNewer(
  last: LastBeat | undefined,
  beat: { readonly boot: string; readonly seq: number },
  nowMs: number,
): boolean {
  if (last === undefined) return true;
  if (beat.boot === last.boot) return beat.seq > last.seq;
  return beat.boot > last.boot || nowMs - last.beatAtMs > BOOT_SILENT_MS;
}

/**
 * What a node claims, bounded by the edge's own clock: a promise about calls that may not have been made yet is none.
 */
export function believable(completeThroughMs: number, nowMs: number): number {
  return Math.min(completeThroughMs, nowMs);
}

/** What is remembered of a node's promise about the calls it was sent. */
export type Promised = {
  readonly lastBeatAtMs: number;
  readonly completeThroughMs: number;
  /** When its journal was made: of what came before, the node knows nothing. */
  readonly journalSinceMs: number;
};

/** A call of which an object wants to know whether it was ever accepted was issued at `sinceMs` or later. */
export function throughFor(promised: Promised, sinceMs: number): number {
  return promised.journalSinceMs > sinceMs ? 0 : promised.completeThroughMs;
}

/**
 * Whether a router can have chosen a node for a call issued at `sinceMs` or later: it last spoke before that, but a
 * snapshot with it may still have been served for `servedForMs`.
 */
export function isReachable(promised: Promised, sinceMs: number, servedForMs: number): boolean {
  return promised.lastBeatAtMs >= sinceMs - servedForMs;
}
