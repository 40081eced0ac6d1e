/**
 * Which node first, which next: a pure function from what is known of the nodes to a ranking. Hard filters come first
 * (model, weights, features, region, state); a node that cannot do what is asked is not in the ranking at all. Then the
 * expected cost in milliseconds (expect.ts) decides, in this order:
 *
 * 1. nodes that are well and have room, before those that are full by a beat young enough to be believed, before those
 *    whose calls have failed here lately: the later ones are asked only where all before them said no;
 * 2. among them, a few **candidates**: four while beats are fresh, down to two as they age. Isolates are many and see the
 *    same picture late: if each took its best node, all would take the same one. Candidates are drawn by the request's
 *    own rendezvous order, a node of half the cost twice as often; so isolates that know nothing of each other agree, and
 *    a conversation mostly keeps its nodes. A node that has a good part of the prompt cached is always a candidate;
 * 3. among those, the cost; and where costs are as good as equal, again the rendezvous order.
 *
 * A snapshot holds only nodes that were heard of shortly before it was made; how old it may be itself is its keeper's
 * decision: while a region's object is away, its last snapshot still routes.
 */
import type { ServedModel } from "@sluice/protocol/beat";
import type { Marks } from "@sluice/protocol/sketch";
import type { LiveNode } from "../core/node.ts";
import { costMs, expect, meanOf, trustAt, type OwnCalls } from "./expect.ts";
import { numberOf, rendezvous } from "./rendezvous.ts";

/** The defaults of the ranking. */
const RANKED = {
  /** Costs within this factor and this many milliseconds of the best count as equal: no beat is that exact. */
  closeFactor: 1.2,
  closeMs: 5,
  /** Candidates when beats say nothing any more, and while they are fresh: a beat is old news to most of its readers. */
  candidatesMin: 2,
  candidatesMax: 4,
  /** A node that has this part of the prompt cached is a candidate however old the picture is. */
  heldShare: 0.25,
  /** Of the nodes that fit, at most this part is put back for having failed. */
  ejectedShareMax: 0.5,
  /** A beat older than this is not believed that a node is full. */
  fullBelievedMs: 2_000,
};

export type Wish = {
  readonly model: string;
  /** A ceiling, where the prompt's text is not known. */
  readonly promptTokens: number;
  /** Null: anywhere. */
  readonly regions: readonly string[] | null;
  /** The digest of the weights that began this answer: only equal weights continue it. Undefined: it has not begun. */
  readonly weights?: string | undefined;
  /** What the engine has to be able to do, as `ServedModel.features` names it. */
  readonly features?: readonly string[] | undefined;
  /** What most engines can do, and the engine must not say it lacks: `ServedModel.lacks`. */
  readonly common?: readonly string[] | undefined;
  /** The prompt's marks, where some node has said a sketch. */
  readonly prompt?: Marks | undefined;
  /** The conversation this request belongs to, as a number; undefined: any. */
  readonly opening?: number | undefined;
};

/** What this isolate knows beside the snapshot. */
export type Knowledge = {
  /** By the edge's clock. */
  readonly nowMs: number;
  own(node: Pick<LiveNode, "id" | "beatAtMs">, model: string): OwnCalls;
  rttMs(region: string): number;
  /** Until when a node comes last for a model because calls have failed here; undefined where it is well. */
  behindUntilMs(node: string, model: string): number | undefined;
  heldChars(node: LiveNode, prompt: Marks): number;
};

export type Choice = {
  readonly node: LiveNode;
  readonly expectedMs: number;
  /** The prompt tokens it would have to evaluate. */
  readonly uncachedTokens: number;
  /** False where its beat, which is young enough to be believed, says that it would refuse. */
  readonly room: boolean;
};

/** `dice`: a number in [0, 1) at each call. */
export function choose(
  wish: Wish,
  nodes: readonly LiveNode[],
  knowledge: Knowledge,
  dice: () => number,
): readonly Choice[] {
  const fit = nodes.filter((node) => fits(wish, node)).map((node) => withLoadOf(wish.model, node));
  if (fit.length === 0) return [];
  const { nowMs } = knowledge;
  const mean = meanOf(fit);
  const key = wish.opening ?? Math.floor(dice() * 2 ** 32);
  const ranked = fit.map((node) => {
    const heldChars = wish.prompt === undefined ? 0 : knowledge.heldChars(node, wish.prompt);
    const said = node.models.find((model) => model.id === wish.model)?.wakeMs ?? 0;
    const wakeMs = Math.max(0, said - Math.max(0, nowMs - node.beatAtMs));
    const reading = {
      node,
      rttMs: knowledge.rttMs(node.region),
      own: knowledge.own(node, wish.model),
      heldChars,
      wakeMs,
    };
    const expected = expect({ promptTokens: wish.promptTokens, prompt: wish.prompt }, reading, mean, nowMs);
    const expectedMs = costMs(expected);
    return {
      node,
      expectedMs,
      uncachedTokens: expected.uncachedTokens,
      // Whose only engine starts again would refuse now, and not for long.
      room: node.state === "ready" && hasRoom(node, nowMs),
      holds: wish.prompt !== undefined && heldChars >= RANKED.heldShare * wish.prompt.charsTotal,
      nearness: rendezvous(key, numberOf(node.id), 1 / expectedMs),
      standing: 0,
    };
  });

  const out = ejectedAmong(fit, wish.model, knowledge);
  for (const entry of ranked) if (!entry.room) entry.standing = FULL;
  for (const entry of ranked) if (out.has(entry.node.id)) entry.standing = EJECTED;

  const standing = ranked.filter((entry) => entry.standing === 0);
  markCandidates(standing, meanTrust(standing, nowMs));
  const candidates = standing.filter((entry) => entry.standing === CANDIDATE);
  const bestMs = Math.min(...candidates.map((entry) => entry.expectedMs));
  const limitMs = bestMs * RANKED.closeFactor + RANKED.closeMs;
  for (const entry of candidates) if (entry.expectedMs <= limitMs) entry.standing = BEST;

  ranked.sort((a, b) => {
    if (a.standing !== b.standing) return a.standing - b.standing;
    return a.standing === BEST ? a.nearness - b.nearness : a.expectedMs - b.expectedMs;
  });
  return ranked.map(({ node, expectedMs, uncachedTokens, room }) => ({
    node,
    expectedMs,
    uncachedTokens,
    room,
  }));
}

/** Where a node stands before costs are compared; lower comes first, 0 is not decided yet. */
const [BEST, CANDIDATE, OTHER, FULL, EJECTED] = [1, 2, 3, 4, 5] as const;

type Entry = {
  readonly node: LiveNode;
  readonly holds: boolean;
  readonly nearness: number;
  standing: number;
};

/** How much the beats of these nodes still say, in [0, 1]. */
function meanTrust(entries: readonly Entry[], nowMs: number): number {
  let trust = 0;
  for (const { node } of entries) trust += trustAt(nowMs - node.beatAtMs);
  return entries.length === 0 ? 0 : trust / entries.length;
}

function markCandidates(entries: readonly Entry[], trust: number): void {
  const min = Math.min(RANKED.candidatesMin, entries.length);
  const max = Math.min(RANKED.candidatesMax, entries.length);
  const count = min + Math.round((max - min) * trust);
  const byNearness = entries.toSorted((a, b) => a.nearness - b.nearness);
  for (const [at, entry] of byNearness.entries())
    entry.standing = at < count || entry.holds ? CANDIDATE : OTHER;
}

/**
 * The nodes that come last for having failed, never more than a part of the fleet: what is left has to bear the load.
 * Of too many, those that will be tried again soonest stay.
 */
function ejectedAmong(fit: readonly LiveNode[], model: string, knowledge: Knowledge): ReadonlySet<string> {
  const failing = fit.flatMap(({ id, proofs }) => {
    // Its region has asked it for a token of this model in vain: until it makes one.
    const untilMs = proofs?.[model]?.failing === undefined ? knowledge.behindUntilMs(id, model) : Infinity;
    return untilMs === undefined ? [] : [{ id, untilMs }];
  });
  const max = Math.min(fit.length - 1, Math.ceil(fit.length * RANKED.ejectedShareMax));
  failing.sort((a, b) => b.untilMs - a.untilMs);
  return new Set(failing.slice(0, max).map(({ id }) => id));
}

function hasRoom({ load, beatAtMs }: LiveNode, nowMs: number): boolean {
  if (nowMs - beatAtMs > RANKED.fullBelievedMs) return true;
  return load.slotsBusy < load.slots || load.queued < load.queueMax;
}

/** A node with several models, as one of them sees it: that one's slots, queue and speeds. */
function withLoadOf(model: string, node: LiveNode): LiveNode {
  const load = node.models.find(({ id }) => id === model)?.load;
  return load === undefined ? node : { ...node, load };
}

/** Whether a node can do what is asked at all. */
export function fits(
  wish: Pick<Wish, "model" | "regions" | "weights" | "features" | "common">,
  node: LiveNode,
): boolean {
  return (
    node.state !== "draining" &&
    (wish.regions === null || wish.regions.includes(node.region)) &&
    node.models.some(
      (model) =>
        model.id === wish.model &&
        // One that loads is there only where it says when it wakes.
        (node.state === "ready" || model.wakeMs !== undefined) &&
        does(model, wish),
    )
  );
}

function does(
  model: ServedModel,
  { weights, features = [], common = [] }: Pick<Wish, "weights" | "features" | "common">,
): boolean {
  if (weights !== undefined && (model.weights !== weights || !model.features.includes("resume")))
    return false;
  if (common.some((wanted) => model.lacks?.includes(wanted) === true)) return false;
  return features.every((feature) => model.features.includes(feature));
}
