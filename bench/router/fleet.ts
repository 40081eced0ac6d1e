/**
 * The simulated world: three regions with the network's usual times between them, nodes of three sizes, and how many
 * requests a second they can bear. Pure.
 */
import type { Dice } from "./dice.ts";
import { CHUNK_MS, SimNode, type NodeKind } from "./node.ts";
import { BLOCK_TOKENS, type SimRequest } from "./request.ts";

const REGIONS = ["eu", "us", "ap"] as const;

/** There and back, in ms. */
const RTT_MS: { readonly [from: string]: { readonly [to: string]: number } } = {
  eu: { eu: 10, us: 90, ap: 220 },
  us: { eu: 90, us: 10, ap: 150 },
  ap: { eu: 220, us: 150, ap: 10 },
};

export function rttMs(from: string, to: string): number {
  return RTT_MS[from]?.[to] ?? 0;
}

/** Eight billion parameters on a large GPU, a middling one, and a small one. */
const LARGE: NodeKind = {
  name: "large",
  prefillTokensPerS: 16_000,
  stepMs: 4,
  stepMsPerAnswer: 0.1,
  slots: 256,
  cacheTokens: 4_000_000,
};
const MEDIUM: NodeKind = {
  name: "medium",
  prefillTokensPerS: 8_000,
  stepMs: 6,
  stepMsPerAnswer: 0.35,
  slots: 64,
  cacheTokens: 2_000_000,
};
const SMALL: NodeKind = {
  name: "small",
  prefillTokensPerS: 2_000,
  stepMs: 12,
  stepMsPerAnswer: 1.5,
  slots: 16,
  cacheTokens: 500_000,
};
const MIX = [LARGE, MEDIUM, MEDIUM, SMALL];

export function makeFleet(count: number): SimNode[] {
  return Array.from(
    { length: count },
    (_, i) => new SimNode(`node_${i}`, REGIONS[i % REGIONS.length] ?? "eu", MIX[i % MIX.length] ?? MEDIUM),
  );
}

export type Edge = { readonly at: number; readonly region: string };

export function makeEdges(count: number): Edge[] {
  return Array.from({ length: count }, (_, at) => ({ at, region: REGIONS[at % REGIONS.length] ?? "eu" }));
}

/** A client's request meets some isolate of the data centre near it. */
export function edgeOf(edges: readonly Edge[], { place }: SimRequest, dice: Dice): Edge | undefined {
  const region = REGIONS[Math.floor(place * REGIONS.length)];
  const near = edges.filter((edge) => edge.region === region);
  const some = near.length > 0 ? near : edges;
  return some[Math.floor(dice() * some.length)];
}

/**
 * Requests a second at which the fleet is just busy if it reused as much as one cache of the size of all together could:
 * what a prompt's new tokens and an answer's share of the steps take, node by node. Load is a part of that.
 */
export function saturationPerS(nodes: readonly SimNode[], requests: readonly SimRequest[]): number {
  const capacity = nodes.reduce((sum, { kind }) => sum + kind.cacheTokens, 0) / BLOCK_TOKENS;
  const pooled = new Map<number, true>();
  let uncached = 0;
  let output = 0;
  for (const request of requests) {
    const { blocks } = request;
    let hit = 0;
    while (hit < blocks.length && pooled.has(blocks[hit] ?? 0)) hit++;
    // Deepest first: of one prompt the end is forgotten before the beginning.
    for (const block of blocks.toReversed()) {
      pooled.delete(block);
      pooled.set(block, true);
    }
    for (const [block] of pooled) {
      if (pooled.size <= capacity) break;
      pooled.delete(block);
    }
    uncached += request.input - hit * BLOCK_TOKENS;
    output += request.output;
  }
  let perS = 0;
  for (const { kind } of nodes) {
    const prefillMs = (uncached / requests.length / kind.prefillTokensPerS) * 1_000;
    const answerMs = (output / requests.length) * (kind.stepMsPerAnswer + kind.stepMs / kind.slots);
    perS += 1_000 / (prefillMs * (1 + kind.stepMs / CHUNK_MS) + answerMs);
  }
  return perS;
}
