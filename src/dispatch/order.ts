/**
 * In which order the ranked nodes are asked, given what this request has been through. Pure.
 *
 * Three groups, each in the ranking's order. First those who were heard of just now. Then those whose beat is late: a
 * region that is lost is avoided before it is given up (three seconds after its last word), while one late beat costs a lone node nothing. Last
 * those that failed this request and had brought it further before: their process may be back, or only a connection
 * was cut, and the alternative is an answer that ends in the middle. A node that failed and brought nothing is out.
 *
 * An answer in the middle has a second round: whoever loses it to a cut connection may be asked once more, after all
 * others. Before the first content there is none; a client can ask again.
 */
import type { LiveNode } from "../core/node.ts";

/** Since the last beat, when a node counts as late: two beats missed, and half a second for the way of the third. */
export const BEAT_LATE_MS = 2_500;

export function isLate({ beatAtMs, asOfMs }: LiveNode, nowMs: number): boolean {
  return (asOfMs ?? nowMs) - beatAtMs > BEAT_LATE_MS;
}

export function inOrder(
  ranking: readonly LiveNode[],
  /** From which position each node that failed this request was asked to answer. */
  failed: ReadonlyMap<string, number>,
  /** How far the client has been brought. */
  broughtTo: number,
  nowMs: number,
): readonly LiveNode[] {
  const fresh: LiveNode[] = [];
  const late: LiveNode[] = [];
  const again: LiveNode[] = [];
  for (const node of ranking) {
    const failedFrom = failed.get(node.id);
    if (failedFrom !== undefined) {
      if (broughtTo > failedFrom) again.push(node);
    } else if (isLate(node, nowMs)) late.push(node);
    else fresh.push(node);
  }
  const round = [...fresh, ...late];
  return [...round, ...again, ...(broughtTo > 0 ? round : [])];
}
