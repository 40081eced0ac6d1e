/** Times that the two halves of a region's picture, its object and the isolates' snapshots of it, must agree on. */

/**
 * Three beats missed: then a node is shown no more. A region that is lost is known to be lost after three seconds, and
 * what may not leave it fails then, at once; half a second before, whoever may goes elsewhere first (dispatch/order.ts).
 */
export const BEAT_DEAD_MS = 3_000;
/** While a region's object is away, an isolate serves its last snapshot this long. */
export const SNAPSHOT_SERVES_MS = 5 * 60_000;
/** What is worth writing, but not with every beat, is written this often per node. */
export const SAVE_INTERVAL_MS = 10_000;
/** A node silent for longer than this is in nobody's snapshot; the saved time of its last beat may be behind, too. */
export const REACHABLE_MS = SNAPSHOT_SERVES_MS + BEAT_DEAD_MS + SAVE_INTERVAL_MS;
/** What a removed node promised is kept this long: no hold waits longer for a node's word. */
export const REMOVED_KEPT_MS = 60 * 60_000;
