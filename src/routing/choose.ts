/**
 * Which node first, which next: a pure function from what is known of the nodes to a ranking. Hard filters come first
 * (model, region, state, freshness); what is left is ordered by expected milliseconds until the first token:
 *
 *     waiting + prompt tokens still to evaluate here / measured prefill speed
 *
 * A snapshot holds only nodes that were heard of shortly before it was made; how old it may be itself is its keeper's
 * decision, so no clock is read here: while a region's object is away, its last snapshot still routes.
 *
 * Load that is a beat old is corrected by this isolate's own calls in flight, which no beat has counted yet. Nodes whose
 * expectations are close are not really different, so a fair die decides between them: many isolates with the same
 * snapshot must not all pick the same node.
 */
import type { ServedModel } from "@sluice/protocol/beat";
import type { LiveNode } from "../core/node.ts";

/** Assumed of a node that has not measured itself yet. */
const PREFILL_TOKENS_PER_S_UNMEASURED = 500;
const DECODE_TOKENS_PER_S_UNMEASURED = 20;
/** What a queued request is taken to generate before it frees its slot. */
const OUTPUT_TOKENS_TYPICAL = 200;
/** Expectations within this factor count as equal. */
const CLOSE_ENOUGH = 1.25;
const CLOSE_ENOUGH_MS = 5;

export type Wish = {
  readonly model: string;
  readonly promptTokens: number;
  /** Null: anywhere. */
  readonly regions: readonly string[] | null;
  /** The digest of the weights that began this answer: only equal weights continue it. Undefined: it has not begun. */
  readonly weights?: string | undefined;
};

export type Choice = {
  readonly node: LiveNode;
  readonly expectedMs: number;
};

/** `inFlight`: this isolate's own running calls by node id. `dice`: a number in [0, 1) at each call. */
export function choose(
  wish: Wish,
  nodes: readonly LiveNode[],
  inFlight: ReadonlyMap<string, number>,
  dice: () => number,
): readonly Choice[] {
  const fit = nodes.filter((node) => fits(wish, node));
  const choices = fit.map((node) => ({
    node,
    expectedMs: expectMs(wish, node, inFlight.get(node.id) ?? 0),
    die: dice(),
  }));
  const bestMs = Math.min(...choices.map((choice) => choice.expectedMs));
  const tier = (expectedMs: number): number =>
    expectedMs <= bestMs * CLOSE_ENOUGH + CLOSE_ENOUGH_MS ? 0 : 1;
  choices.sort((a, b) => {
    const tiers = tier(a.expectedMs) - tier(b.expectedMs);
    if (tiers !== 0) return tiers;
    return tier(a.expectedMs) === 0 ? a.die - b.die : a.expectedMs - b.expectedMs;
  });
  return choices.map(({ node, expectedMs }) => ({ node, expectedMs }));
}

function fits(wish: Wish, node: LiveNode): boolean {
  return (
    node.state === "ready" &&
    (wish.regions === null || wish.regions.includes(node.region)) &&
    node.models.some((model) => model.id === wish.model && continues(model, wish.weights))
  );
}

function continues(model: ServedModel, weights: string | undefined): boolean {
  return weights === undefined || (model.weights === weights && model.features.includes("resume"));
}

/** Expected milliseconds to the first token on this node. */
export function expectMs(wish: Wish, node: LiveNode, ownInFlight: number): number {
  const { load } = node;
  const prefillPerMs = (load.prefillTokensPerS || PREFILL_TOKENS_PER_S_UNMEASURED) / 1_000;
  const prefillMs = (load.prefillTokensPending + wish.promptTokens) / prefillPerMs;
  const ahead = Math.max(load.slotsBusy + load.queued, ownInFlight);
  const waiting = Math.max(0, ahead + 1 - Math.max(1, load.slots));
  const requestMs =
    (OUTPUT_TOKENS_TYPICAL * 1_000) / (load.decodeTokensPerS || DECODE_TOKENS_PER_S_UNMEASURED);
  return prefillMs + (waiting * requestMs) / Math.max(1, load.slots);
}
