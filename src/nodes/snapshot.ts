/**
 * What the request path knows of the nodes: the snapshots of some regions, from this isolate's memory where they are
 * young enough, else from the data centre's copy or the regions' objects (region-copy.ts).
 *
 * Ages. A **near** region (its object answers within NEAR_MS) is looked at again after a second, a far one after five,
 * and all of them when a node has failed the request. One request of the isolate looks; the others are served from
 * memory meanwhile, and so is that one where the region is far, or what is known of it a beat or two old: otherwise who
 * calls now and then would wait nearly every time. When an object is away its last snapshot serves, and
 * `ageMs` says how old it is: a node that died in the meantime costs a failed attempt, a refusal costs the client.
 *
 * An object that has just woken (a deploy, an eviction) has heard no beats and knows only whose it **awaits**. Of those the last
 * word that is known here serves; who finds nobody asks again in a moment, and a second later all have been heard.
 *
 * A region nobody here has heard of yet is waited for, but not by requests that can go elsewhere: once some region has
 * shown nodes that will do, the others have a moment left, and what they say later serves the next request.
 *
 * The surprising choice: no promise is shared. workerd ties I/O to the request that began it; a request that waited for
 * another's question would hang when that other's client leaves. So "one at a time" is a lease in memory, which runs
 * out by itself, and an isolate that knows nothing yet lets each of its first requests ask: that is a microsecond of
 * the object's time each, and it ends with the first answer.
 */
import { waitUntil } from "cloudflare:workers";
import type { Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import type { LiveNode } from "../core/node.ts";
import { SNAPSHOT_SERVES_MS } from "./limits.ts";
import { askedOfObject, cachedCopy, type Taken } from "./region-copy.ts";
import { within } from "../core/within.ts";

/** Younger than this, a snapshot is used as it is: of a near region, and of a far one. */
export const SNAPSHOT_FRESH_MS = 1_000;
const SNAPSHOT_FRESH_FAR_MS = 5_000;
/** Up to this age a near region's snapshot also serves the request that asks for a newer one: two beats and a half. */
const SERVE_BEHIND_MS = 2_500;
/** Up to this age a snapshot serves while another request of this isolate asks for a newer one. */
const SERVE_WHILE_ASKED_MS = 5_000;
/** An object that takes longer than this is far away. */
const NEAR_MS = 60;
/** While a region's object awaits beats, it may be asked again so soon. */
const SNAPSHOT_FRESH_WAKING_MS = 50;
/** How long a request waits for a near region when it has an older snapshot to go on with. */
const ASK_WAIT_MS = 250;
/** How long it waits for regions it knows nothing of; and for the rest of them, when one has what it needs. */
const FIRST_ASK_WAIT_MS = 900;
const OTHERS_WAIT_MS = 30;
/** An object that did not answer is asked again so long after it was given up. */
const AWAY_RETRY_MS = 1_000;
const REGIONS_MAX = 256;

export type RegionView = {
  readonly region: string;
  /** Null where nothing is known of the region: its object has never answered this isolate, or not for long. */
  readonly ageMs: number | null;
};

export type FleetView = {
  readonly nodes: readonly LiveNode[];
  /** Some region's object has just woken: nodes that are not here may be in a moment. */
  readonly isWaking: boolean;
  readonly regions: readonly RegionView[];
};

export type Looking = {
  /** Whether these nodes will do. Without it any node does. */
  readonly enough?: (nodes: readonly LiveNode[]) => boolean;
  /** A node has just failed: what is known may be wrong. */
  readonly afterFailure?: boolean;
  /** How long regions of which nothing is known are waited for at most. */
  readonly firstWaitMs?: number;
};

type Memory = {
  readonly nodes: readonly LiveNode[];
  /** Those the object awaits. Of them `nodes` has what was known before, if anything was. */
  readonly awaited: readonly string[];
  readonly takenAtMs: number;
  /** How long the object took to answer; undefined until it has. */
  readonly answeredInMs: number | undefined;
  /** Until then another request is asking. */
  leasedUntilMs: number;
  /** When the object was asked a question that it has not answered; Infinity: it has answered since, or was never asked. */
  silentSinceMs: number;
  /** Until then nobody asks: the object did not answer the last time. */
  askAgainAtMs: number;
};

const NOTHING: Memory = {
  nodes: [],
  awaited: [],
  takenAtMs: -Infinity,
  answeredInMs: undefined,
  leasedUntilMs: -Infinity,
  silentSinceMs: Infinity,
  askAgainAtMs: -Infinity,
};

/** By region. Losing it costs one question per region. */
const memory = new Map<string, Memory>();

/** Never throws: what cannot be learnt is simply not in the view. */
export async function liveNodes(
  env: Pick<Env, "REGIONS">,
  regions: readonly string[],
  nowMs: number,
  {
    enough = (nodes) => nodes.length > 0,
    afterFailure = false,
    firstWaitMs = FIRST_ASK_WAIT_MS,
  }: Looking = {},
): Promise<FleetView> {
  const asked = regions.slice(0, REGIONS_MAX);
  const renewals = asked.map((region) => renewWhereDue(env, region, nowMs, { afterFailure, firstWaitMs }));
  const known = renewals.flatMap(({ waitedFor }) => (waitedFor === "known" ? [] : [waitedFor]));
  if (known.length > 0) await settled(known, () => enough(viewOf(asked, nowMs).nodes));
  return viewOf(asked, nowMs);
}

/** What this isolate remembers of these regions' nodes, asking nobody; empty where it knows nothing young enough. */
export function rememberedNodes(regions: readonly string[], nowMs: number): readonly LiveNode[] {
  return viewOf(regions, nowMs).nodes;
}

/**
 * Whether a node may have said which prompts it has cached: some node that this isolate remembers has, or it remembers none
 * yet. An isolate's first request is as much a conversation's next turn as any other.
 */
export function sketchesPossible(regions: readonly string[]): boolean {
  const known = regions.flatMap((region) => {
    const remembered = memory.get(region);
    return remembered === undefined || remembered.takenAtMs === -Infinity ? [] : remembered;
  });
  return known.length === 0 || known.some(({ nodes }) => nodes.some(({ sketch }) => sketch !== undefined));
}

function viewOf(regions: readonly string[], nowMs: number): FleetView {
  const views = regions.map((region) => {
    const { takenAtMs, nodes, awaited, silentSinceMs } = memory.get(region) ?? NOTHING;
    const ageMs = Math.max(0, nowMs - takenAtMs);
    if (ageMs > SNAPSHOT_SERVES_MS) return { region, ageMs: null, nodes: [], isWaking: false };
    // A region that was asked and is silent is judged by its beats' age; one that was not asked is not late for that.
    const judged = silentSinceMs === Infinity ? nodes : nodes.map((node) => ({ ...node, asOfMs: nowMs }));
    return { region, ageMs, nodes: judged, isWaking: awaited.length > 0 };
  });
  return {
    nodes: views.flatMap((view) => view.nodes),
    isWaking: views.some((view) => view.isWaking),
    regions: views.map(({ region, ageMs }) => ({ region, ageMs })),
  };
}

type Due = {
  /** What the request has to wait for; `known` where it can go on at once. */
  readonly waitedFor: "known" | { readonly answered: Promise<unknown>; readonly first: boolean };
};

const GO_ON: Due = { waitedFor: "known" };

function renewWhereDue(
  env: Pick<Env, "REGIONS">,
  region: string,
  nowMs: number,
  { afterFailure, firstWaitMs }: { readonly afterFailure: boolean; readonly firstWaitMs: number },
): Due {
  if (memory.size >= REGIONS_MAX && !memory.has(region)) memory.clear();
  const known = memory.get(region) ?? { ...NOTHING };
  memory.set(region, known);
  const ageMs = nowMs - known.takenAtMs;
  const far = (known.answeredInMs ?? 0) > NEAR_MS;
  const isSilent = known.silentSinceMs !== Infinity;
  const freshMs = afterFailure || isSilent ? 0 : freshFor(known, far);
  if (ageMs <= freshMs || nowMs < known.askAgainAtMs) return GO_ON;
  const first = known.takenAtMs === -Infinity;
  if (!first && (ageMs <= SERVE_WHILE_ASKED_MS || far) && nowMs < known.leasedUntilMs) return GO_ON;
  const waitMs = first ? Math.min(FIRST_ASK_WAIT_MS, Math.max(ASK_WAIT_MS, firstWaitMs)) : ASK_WAIT_MS;
  known.leasedUntilMs = nowMs + waitMs;
  const giveUp = silence(region, nowMs);
  // However late it comes, the answer is kept: a region may be farther away than anyone waits.
  const renewed = renew(env, region, known, { nowMs, freshMs, giveUp });
  waitUntil(renewed);
  const answeredIn = async (limitMs: number): Promise<void> => {
    if ((await within(renewed, limitMs)) === undefined) giveUp();
  };
  const isBehind = far || (!afterFailure && ageMs <= SERVE_BEHIND_MS);
  if (!first && isBehind) {
    waitUntil(answeredIn(FIRST_ASK_WAIT_MS));
    return GO_ON;
  }
  return { waitedFor: { answered: answeredIn(waitMs), first } };
}

function freshFor({ awaited }: Memory, far: boolean): number {
  if (awaited.length > 0) return SNAPSHOT_FRESH_WAKING_MS;
  return far ? SNAPSHOT_FRESH_FAR_MS : SNAPSHOT_FRESH_MS;
}

/**
 * What to note when the question asked now is given up. It is silence until an answer comes, however often it is asked again: an
 * answer that somebody has had since the question is one. The pause begins when the waiting ends, by the clock that began with the request.
 */
function silence(region: string, askedAtMs: number): () => void {
  const begunAtMs = Date.now();
  return () => {
    const known = memory.get(region);
    if (known === undefined || known.takenAtMs >= askedAtMs) return;
    known.silentSinceMs = Math.min(known.silentSinceMs, askedAtMs);
    known.askAgainAtMs = askedAtMs + (Date.now() - begunAtMs) + AWAY_RETRY_MS;
  };
}

/** Resolves when all have answered or been given up; or soon after what is known will do, where the rest are new. */
async function settled(
  waits: readonly Exclude<Due["waitedFor"], "known">[],
  isEnough: () => boolean,
): Promise<void> {
  const all = Promise.all(waits.map(({ answered }) => answered));
  const willDo = new Promise<void>((resolve) => {
    const look = (): void => {
      if (isEnough()) resolve();
    };
    look();
    for (const { answered } of waits) void answered.then(look);
  });
  const known = Promise.all(waits.flatMap(({ answered, first }) => (first ? [] : [answered])));
  await Promise.race([all, Promise.all([willDo, known])]);
  await within(all, OTHERS_WAIT_MS);
}

/** Never rejects. Writes what it learns into memory, where that is not younger already. */
async function renew(
  env: Pick<Env, "REGIONS">,
  region: string,
  known: Memory,
  {
    nowMs,
    freshMs,
    giveUp,
  }: { readonly nowMs: number; readonly freshMs: number; readonly giveUp: () => void },
): Promise<true> {
  const copy = await cachedCopy(region, nowMs);
  if (copy !== undefined) keep(region, copy, known.answeredInMs);
  // A failure that somebody else has seen before the copy was taken is in the copy.
  if (copy !== undefined && nowMs - copy.takenAtMs <= freshMs) return true;
  try {
    const askedAtMs = Date.now();
    const taken = await askedOfObject(env, region, nowMs);
    keep(region, taken, Date.now() - askedAtMs);
  } catch (error) {
    logError("region_unreachable", error, { region });
    giveUp();
  }
  return true;
}

/** Answers may overtake each other; the youngest one stays. */
function keep(region: string, { nodes, awaited, takenAtMs }: Taken, answeredInMs: number | undefined): void {
  const known = memory.get(region) ?? NOTHING;
  if (takenAtMs < known.takenAtMs) return;
  const asOf = nodes.map((node) => ({ ...node, asOfMs: takenAtMs }));
  // As they were: their silence is the object's.
  const before = known.nodes.filter(({ id }) => awaited.includes(id));
  // A copy from before the silence does not end it.
  const { silentSinceMs, askAgainAtMs } = takenAtMs < known.silentSinceMs ? known : NOTHING;
  memory.set(region, {
    // The next second is too late for whoever waits for a beat.
    leasedUntilMs: awaited.length > 0 ? -Infinity : known.leasedUntilMs,
    silentSinceMs,
    askAgainAtMs,
    nodes: [...asOf, ...before],
    awaited,
    takenAtMs,
    answeredInMs,
  });
}
