/** Policies that weigh prompt against load: llm-d's scheduler (EPP) with 2/2/3, and Dynamo's cost. */
import { BLOCK_TOKENS } from "../request.ts";
import { lowest, type MakePolicy, type Seen, UNTOLD } from "./policy.ts";

/** EPP looks at 256 blocks of 16 tokens, and remembers 31,250 of them for each node. */
const EPP_BLOCKS_MAX = (256 * 16) / BLOCK_TOKENS;
const EPP_REMEMBERED = Math.floor((31_250 * 16) / BLOCK_TOKENS);

/** Queue 2, free memory 2, prefix 3; highest wins. Loads are scraped; prefixes are what this edge sent where. */
export const epp: MakePolicy = (nodes, dice) => {
  const sentTo = nodes.map(() => new Map<number, true>());
  return {
    pick({ request, seen }) {
      const queues = seen.map(({ sample }) => sample.waiting);
      const [max, min] = [Math.max(...queues), Math.min(...queues)];
      const blocks = request.blocks.slice(0, EPP_BLOCKS_MAX);
      const scoreOf = ({ at, sample }: Seen): number => {
        const queue = max === min ? 1 : (max - sample.waiting) / (max - min);
        const known = sentTo[at];
        let matched = 0;
        while (matched < blocks.length && known?.has(blocks[matched] ?? 0)) matched++;
        return 2 * queue + 2 * (1 - sample.usage) + 3 * (matched / Math.max(1, blocks.length));
      };
      return lowest(seen, (one) => -scoreOf(one), dice);
    },
    sent({ blocks }, { at }) {
      const known = sentTo[at];
      for (const block of blocks.slice(0, EPP_BLOCKS_MAX)) {
        known?.delete(block);
        known?.set(block, true);
      }
      for (const [block] of known ?? []) {
        if ((known?.size ?? 0) <= EPP_REMEMBERED) break;
        known?.delete(block);
      }
      return UNTOLD;
    },
  };
};

const DYNAMO_BLOCK_TOKENS = 16;
const DYNAMO_TTL_MS = 120_000;

/**
 * Dynamo's KV router in its approximate mode: blocks to evaluate (those under way here included) plus blocks being
 * decoded, from this edge's own books; what it sent where counts as cached for two minutes.
 */
export const dynamo: MakePolicy = (nodes, dice) => {
  const cachedAtMs = nodes.map(() => new Map<number, number>());
  const prefilling = nodes.map(() => 0);
  const decoding = nodes.map(() => 0);
  const add = (books: number[], at: number, tokens: number): void => {
    books[at] = (books[at] ?? 0) + tokens;
  };
  const overlapTokens = (blocks: readonly number[], at: number, nowMs: number): number => {
    let matched = 0;
    while (
      matched < blocks.length &&
      nowMs - (cachedAtMs[at]?.get(blocks[matched] ?? 0) ?? -Infinity) < DYNAMO_TTL_MS
    )
      matched++;
    return matched * BLOCK_TOKENS;
  };
  return {
    pick({ request, seen, nowMs }) {
      const costOf = ({ at }: Seen): number => {
        const overlap = overlapTokens(request.blocks, at, nowMs);
        const prefill = Math.max(0, (prefilling[at] ?? 0) + request.input - overlap);
        return (prefill + (decoding[at] ?? 0)) / DYNAMO_BLOCK_TOKENS;
      };
      return lowest(seen, costOf, dice);
    },
    sent({ blocks, input }, { at }, nowMs) {
      const uncached = Math.max(0, input - overlapTokens(blocks, at, nowMs));
      for (const block of blocks) cachedAtMs[at]?.set(block, nowMs);
      add(prefilling, at, uncached);
      add(decoding, at, input);
      let evaluating = true;
      const evaluated = (): void => {
        if (evaluating) add(prefilling, at, -uncached);
        evaluating = false;
      };
      const over = (): void => {
        evaluated();
        add(decoding, at, -input);
      };
      return { firstToken: evaluated, ended: over, failed: over };
    },
  };
};
