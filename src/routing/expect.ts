/**
 * What a request has to expect of a node: milliseconds to its first token, in the parts they are made of. Pure.
 *
 *     network + waiting for a slot + (prompt tokens before ours + our uncached ones) / measured prefill speed + waking
 *
 * Load is what the node said in its last beat. While a beat is young it is believed; as it ages it is drawn towards the
 * mean of the fleet, in shares of each node's capacity, until nothing is left of it but the mean: an old beat then
 * neither attracts nor repels, and never makes a node look full. This isolate's own calls since the beat come on top.
 */
import type { Marks } from "@sluice/protocol/sketch";
import type { LiveNode } from "../core/node.ts";

/** The defaults of the cost, each with its reason. One set for all fleets. */
export const EXPECTED = {
  /** Assumed of a node that has not measured itself yet: a small model on a processor. */
  prefillTokensPerSUnmeasured: 500,
  decodeTokensPerSUnmeasured: 20,
  /** What a request in a slot is taken to generate before it frees the slot. */
  outputTokensTypical: 200,
  /** After this long a beat's load is half believed: a busy node's queue changes within seconds. */
  loadHalfLifeMs: 2_000,
  /** Characters to a token where the node has not said: English text in a vocabulary of a hundred thousand. */
  charsPerToken: 4,
  /**
   * Uncached tokens cost this many times what they take of this request's time: whoever comes after waits for them, too,
   * and what is evaluated twice in a fleet is capacity lost...
   */
  uncachedWeight: 1.5,
  /**
   * ...and more for each second that prompts wait on average, up to a bound: the longer the queue, the more come after. Without
   * this a full fleet gives up its caches to even out its queues, has more to evaluate for it, and never catches up.
   */
  uncachedWeightPerS: 0.7,
  uncachedWeightMax: 8,
  /** What a full node costs beside its queue: decoding for many makes every step, prefill included, longer. */
  crowdMs: 50,
};

/** The network's part, where nothing was measured: the nearest and the farthest are guessed to be alike. */
export const RTT_MS_UNMEASURED = 50;

export type Asked = {
  readonly promptTokens: number;
  readonly prompt: Marks | undefined;
};

/** This isolate's own calls at a node. */
export type OwnCalls = {
  /** Begun since the node's last beat, and so not in its load. */
  readonly sinceBeat: number;
  /** The prompt tokens those calls have to have evaluated. */
  readonly promptTokensSinceBeat: number;
  /** All that run, whatever a beat has counted. */
  readonly running: number;
};

/** What is known of one node for one request, before it is compared with others. */
export type Reading = {
  readonly node: LiveNode;
  readonly rttMs: number;
  readonly own: OwnCalls;
  /** Of the prompt's characters, those the node has cached. */
  readonly heldChars: number;
  readonly wakeMs: number;
};

/** The fleet's mean, in units that nodes of all sizes share. */
export type Mean = { readonly pendingMs: number; readonly share: number };

export type Expectation = {
  readonly networkMs: number;
  readonly slotMs: number;
  /** Prompt tokens of others. */
  readonly pendingMs: number;
  readonly prefillMs: number;
  readonly crowdMs: number;
  readonly uncachedTokens: number;
  /** What a millisecond of evaluating them counts for. */
  readonly uncachedWeight: number;
};

function prefillPerMs({ load }: LiveNode): number {
  return (load.prefillTokensPerS || EXPECTED.prefillTokensPerSUnmeasured) / 1_000;
}

/** Requests at the node, as a part of what it can run at once; more than 1 where some wait. */
function shareOf({ load }: LiveNode): number {
  return (load.slotsBusy + load.queued) / Math.max(1, load.slots);
}

export function meanOf(nodes: readonly LiveNode[]): Mean {
  let pendingMs = 0;
  let share = 0;
  for (const node of nodes) {
    pendingMs += node.load.prefillTokensPending / prefillPerMs(node);
    share += shareOf(node);
  }
  const count = Math.max(1, nodes.length);
  return { pendingMs: pendingMs / count, share: share / count };
}

/** How much a beat of this age still says, in (0, 1]. */
export function trustAt(ageMs: number): number {
  return 0.5 ** (Math.max(0, ageMs) / EXPECTED.loadHalfLifeMs);
}

/** The prompt tokens a node would have to evaluate. */
function uncachedTokens(asked: Asked, { node, heldChars }: Pick<Reading, "node" | "heldChars">): number {
  const { prompt, promptTokens } = asked;
  if (prompt === undefined) return promptTokens;
  // The ceiling is generous on purpose; what is expected is not.
  const charsPerToken = node.sketch?.charsPerToken ?? EXPECTED.charsPerToken;
  return Math.max(1, Math.min(promptTokens, (prompt.charsTotal - heldChars) / charsPerToken));
}

function weightAt({ pendingMs }: Mean): number {
  const { uncachedWeight, uncachedWeightPerS, uncachedWeightMax } = EXPECTED;
  return Math.min(uncachedWeightMax, uncachedWeight + (uncachedWeightPerS * pendingMs) / 1_000);
}

export function expect(asked: Asked, reading: Reading, mean: Mean, nowMs: number): Expectation {
  const { node, own, rttMs, wakeMs } = reading;
  const { load } = node;
  const perMs = prefillPerMs(node);
  const slots = Math.max(1, load.slots);
  const trust = trustAt(nowMs - node.beatAtMs);

  const pendingMs = mean.pendingMs + (load.prefillTokensPending / perMs - mean.pendingMs) * trust;
  const share = mean.share + (shareOf(node) - mean.share) * trust;
  const ahead = Math.max(share * slots + own.sinceBeat, own.running);
  const requestMs =
    (EXPECTED.outputTokensTypical * 1_000) / (load.decodeTokensPerS || EXPECTED.decodeTokensPerSUnmeasured);
  const waiting = Math.max(0, ahead + 1 - slots);
  const uncached = uncachedTokens(asked, reading);
  return {
    networkMs: rttMs + wakeMs,
    slotMs: (waiting * requestMs) / slots,
    pendingMs: pendingMs + own.promptTokensSinceBeat / perMs,
    prefillMs: uncached / perMs,
    crowdMs: EXPECTED.crowdMs * Math.min(1, ahead / slots),
    uncachedTokens: uncached,
    uncachedWeight: weightAt(mean),
  };
}

/** What is compared between nodes. */
export function costMs(expected: Expectation): number {
  return (
    expected.networkMs +
    expected.slotMs +
    expected.pendingMs +
    expected.prefillMs * expected.uncachedWeight +
    expected.crowdMs
  );
}
