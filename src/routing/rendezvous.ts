/**
 * Rendezvous hashing: each key has its own order of the nodes, the same for everyone who knows the same nodes, with no
 * ring and no memory. So isolates that have never met send one conversation to one node, and a node that comes or goes
 * moves only the keys that were its own. A node of twice the weight is first for twice as many keys. Pure.
 */
import { mix } from "@sluice/protocol/sketch";

const RANGE = 2 ** 32;

/** Lower is nearer. For a random key, the chance of being the lowest is the node's part of all weight. */
export function rendezvous(key: number, node: number, weight: number): number {
  const even = (mix(mix(key ^ node) + 0x9e3779b9) + 0.5) / RANGE;
  return -Math.log(even) / Math.max(weight, Number.MIN_VALUE);
}

/** A node's number in the hash. */
export function numberOf(node: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < node.length; i++) state = Math.imul(state ^ node.charCodeAt(i), 0x01000193);
  return mix(state);
}
