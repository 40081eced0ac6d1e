/**
 * Stop strings in a text that arrives in pieces. Pure. Text that might be the beginning of a stop string is held back
 * until the next piece decides; the stop string itself is never shown.
 */

export type Scanned = {
  /** May be shown now. */
  readonly show: string;
  /** May begin a stop string: the longest such tail. */
  readonly held: string;
  readonly hit: boolean;
};

/** `text` is what was held back before, and the new piece after it. */
export function scanStops(text: string, stops: readonly string[]): Scanned {
  let first = -1;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (first < 0 || at < first)) first = at;
  }
  if (first >= 0) return { show: text.slice(0, first), held: "", hit: true };
  let heldLength = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > heldLength; length--) {
      if (stop.startsWith(text.slice(text.length - length))) {
        heldLength = length;
        break;
      }
    }
  }
  const shown = text.length - heldLength;
  return { show: text.slice(0, shown), held: text.slice(shown), hit: false };
}
