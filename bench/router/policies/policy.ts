/**
 * What a routing policy is asked and told, one instance at each edge: edges share nothing but what nodes say of
 * themselves, which all of them see late.
 */
import type { Dice } from "../dice.ts";
import type { LoadSample, SimNode } from "../node.ts";
import type { BlockMarks } from "../blocks.ts";
import type { SimRequest } from "../request.ts";

/** A node as an edge sees it. */
export type Seen = {
  readonly at: number;
  readonly node: SimNode;
  readonly sample: LoadSample;
};

export type Asking = {
  readonly request: SimRequest;
  readonly marks: BlockMarks;
  readonly nowMs: number;
  /** Nodes whose beats are heard, by what was last heard of them. */
  readonly seen: readonly Seen[];
  /** This edge's own requests in flight, by node. */
  readonly inFlight: readonly number[];
  /** Nodes that have failed this request. */
  readonly tried: ReadonlySet<number>;
};

/** How a request that was sent goes on. */
export type Sent = {
  /** `wayMs`: there and back. */
  firstToken(nowMs: number, wayMs: number): void;
  ended(nowMs: number): void;
  failed(nowMs: number): void;
};

export type Policy = {
  /** The index of the node to send to; undefined where there is none. */
  pick(asking: Asking): number | undefined;
  /** Called right after the pick that is followed. */
  sent(request: SimRequest, node: Seen, nowMs: number): Sent;
};

export type MakePolicy = (nodes: readonly SimNode[], dice: Dice) => Policy;

export const UNTOLD: Sent = {
  firstToken: () => undefined,
  ended: () => undefined,
  failed: () => undefined,
};

/** The index with the lowest value; among equals a fair die decides. */
export function lowest(
  seen: readonly Seen[],
  valueOf: (one: Seen) => number,
  dice: Dice,
): number | undefined {
  let best: number | undefined;
  let bestValue = Infinity;
  let equals = 0;
  for (const one of seen) {
    const value = valueOf(one);
    if (value > bestValue) continue;
    equals = value < bestValue ? 1 : equals + 1;
    if (equals > 1 && dice() * equals >= 1) continue;
    best = one.at;
    bestValue = value;
  }
  return best;
}
