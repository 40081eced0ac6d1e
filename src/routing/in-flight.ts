/**
 * This isolate's own calls in flight, by node: the one piece of load that is newer than any beat. Module memory on
 * purpose: it is a hint for `choose`, correct per isolate, and losing it with the isolate is right.
 */

const running = new Map<string, number>();

export const inFlight: ReadonlyMap<string, number> = running;

/** Counts one call; the returned function ends it, once however often it is called. */
export function enter(node: string): () => void {
  running.set(node, (running.get(node) ?? 0) + 1);
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    const left = (running.get(node) ?? 1) - 1;
    if (left > 0) running.set(node, left);
    else running.delete(node);
  };
}
