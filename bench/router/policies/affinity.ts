/** Policies that follow the prompt alone until some bound on load: KubeAI's CHWBL and SGLang's cache-aware tree. */
import { mix } from "@sluice/protocol/sketch";
import { lowest, UNTOLD, type MakePolicy } from "./policy.ts";

const VNODES = 256;
const BOUND = 1.25;

/**
 * Consistent hashing with bounded loads: 256 points on the ring for each node, clockwise from the key (where the first
 * question ends) to the first node with no more than 1.25 times the mean of this edge's own requests.
 */
export const chwbl: MakePolicy = (nodes) => {
  const ring = nodes
    .flatMap((_, at) =>
      Array.from({ length: VNODES }, (__, i) => ({ at, point: mix(mix(at * 7_919 + 1) ^ i) })),
    )
    .toSorted((a, b) => a.point - b.point);
  return {
    pick({ request, seen, inFlight }) {
      const point = mix(request.opening);
      const start = Math.max(
        0,
        ring.findIndex((vnode) => vnode.point >= point),
      );
      const alive = new Set(seen.map(({ at }) => at));
      const total = inFlight.reduce((sum, count) => sum + count, 0);
      for (let i = 0; i < ring.length; i++) {
        const at = ring[(start + i) % ring.length]?.at ?? 0;
        if (!alive.has(at)) continue;
        if (total === 0 || (inFlight[at] ?? 0) <= ((total + 1) / alive.size) * BOUND) return at;
      }
      return seen[0]?.at;
    },
    sent: () => UNTOLD,
  };
};

const MATCH_MIN = 0.3;
const BALANCE_ABS = 64;
const BALANCE_REL = 1.5;

/**
 * SGLang's cache-aware policy with its command line's defaults: unless loads are far apart, the node that last had the
 * deepest known part of the prompt, where that is more than 0.3 of it; else the least loaded. Loads are this edge's own
 * requests; its tree is its own memory and larger than these runs fill.
 */
export const sglang: MakePolicy = (_, dice) => {
  const owners = new Map<number, number>();
  return {
    pick({ request, seen, inFlight }) {
      const loads = seen.map(({ at }) => inFlight[at] ?? 0);
      const [max, min] = [Math.max(...loads), Math.min(...loads)];
      const leastLoaded = (): number | undefined => lowest(seen, ({ at }) => inFlight[at] ?? 0, dice);
      if (max - min > BALANCE_ABS && max > BALANCE_REL * min) return leastLoaded();
      let depth = 0;
      while (depth < request.blocks.length && owners.has(request.blocks[depth] ?? 0)) depth++;
      if (depth / Math.max(1, request.blocks.length) <= MATCH_MIN) return leastLoaded();
      const owner = owners.get(request.blocks[depth - 1] ?? 0);
      return seen.some(({ at }) => at === owner) ? owner : seen[0]?.at;
    },
    sent({ blocks }, { at }) {
      for (const block of blocks) owners.set(block, at);
      return UNTOLD;
    },
  };
};
