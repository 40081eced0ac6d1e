/**
 * What the request path knows of the nodes: the snapshots of some regions, from this isolate's memory where they are
 * young enough, else from the regions' objects.
 *
 * Ages: up to SNAPSHOT_FRESH_MS nobody is asked. After that one request of the isolate asks and waits for the answer,
 * at most ASK_WAIT_MS (an answer that is later serves the next); the others are served from memory meanwhile. When an object is away its last snapshot serves,
 * and `ageMs` says how old it is: a node that died in the meantime costs a failed attempt, a refusal costs the client.
 *
 * The surprising choice: no promise is shared. workerd ties I/O to the request that began it; a request that waited for
 * another's question would hang when that other's client leaves. So "one at a time" is a lease in memory, which runs
 * out by itself, and an isolate that knows nothing yet lets each of its first requests ask: that is a microsecond of
 * the object's time each, and it ends with the first answer.
 */
import { waitUntil } from "cloudflare:workers";
import { regionObject, type Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import type { LiveNode } from "../core/node.ts";
import { SNAPSHOT_SERVES_MS } from "./limits.ts";
import { within } from "../core/within.ts";

/** Younger than this, a snapshot is used as it is. */
export const SNAPSHOT_FRESH_MS = 1_000;
/** Up to this age a snapshot serves while another request of this isolate asks for a newer one. */
const SERVE_WHILE_ASKED_MS = 5_000;
/** How long a request waits for a region's object when it has an older snapshot to go on with, and when it has none. */
const ASK_WAIT_MS = 250;
const FIRST_ASK_WAIT_MS = 900;
/** An object that did not answer is asked again after this long. */
const AWAY_RETRY_MS = 1_000;
const REGIONS_MAX = 256;

export type RegionView = {
  readonly region: string;
  /** Null where nothing is known of the region: its object has never answered this isolate, or not for long. */
  readonly ageMs: number | null;
};

export type FleetView = {
  readonly nodes: readonly LiveNode[];
  readonly regions: readonly RegionView[];
};

type Memory = {
  nodes: readonly LiveNode[];
  /** When the question was asked that these nodes answer. */
  takenAtMs: number;
  /** Until then another request is asking. */
  leasedUntilMs: number;
  /** Until then nobody asks: the object did not answer the last time. */
  awayUntilMs: number;
};

const NOTHING: Memory = {
  nodes: [],
  takenAtMs: -Infinity,
  leasedUntilMs: -Infinity,
  awayUntilMs: -Infinity,
};

/** By region. Losing it costs one question per region. */
const memory = new Map<string, Memory>();

/** Never throws: what cannot be learnt is simply not in the view. */
export async function liveNodes(
  env: Pick<Env, "REGIONS">,
  regions: readonly string[],
  nowMs: number,
): Promise<FleetView> {
  const views = await Promise.all(
    regions.slice(0, REGIONS_MAX).map(async (region) => {
      await renewWhereDue(env, region, nowMs);
      const known = memory.get(region) ?? NOTHING;
      const ageMs = Math.max(0, nowMs - known.takenAtMs);
      return ageMs > SNAPSHOT_SERVES_MS
        ? { region, ageMs: null, nodes: [] }
        : { region, ageMs, nodes: known.nodes };
    }),
  );
  return {
    nodes: views.flatMap((view) => view.nodes),
    regions: views.map(({ region, ageMs }) => ({ region, ageMs })),
  };
}

/** What this isolate remembers of these regions' nodes, asking nobody; empty where it knows nothing young enough. */
export function rememberedNodes(regions: readonly string[], nowMs: number): readonly LiveNode[] {
  return regions.flatMap((region) => {
    const known = memory.get(region);
    return known === undefined || nowMs - known.takenAtMs > SNAPSHOT_SERVES_MS ? [] : known.nodes;
  });
}

/** Whether any node that this isolate remembers has said which prompts it has cached. */
export function sketchesKnown(regions: readonly string[]): boolean {
  return regions.some((region) => memory.get(region)?.nodes.some((node) => node.sketch !== undefined));
}

async function renewWhereDue(env: Pick<Env, "REGIONS">, region: string, nowMs: number): Promise<void> {
  if (memory.size >= REGIONS_MAX && !memory.has(region)) memory.clear();
  const known = memory.get(region) ?? { ...NOTHING };
  memory.set(region, known);
  const ageMs = nowMs - known.takenAtMs;
  if (ageMs <= SNAPSHOT_FRESH_MS || nowMs < known.awayUntilMs) return;
  if (ageMs <= SERVE_WHILE_ASKED_MS && nowMs < known.leasedUntilMs) return;
  const waitMs = known.takenAtMs === -Infinity ? FIRST_ASK_WAIT_MS : ASK_WAIT_MS;
  known.leasedUntilMs = nowMs + waitMs;
  // However late it comes, the answer is kept: a region may be farther away than anyone waits.
  const renewed = renew(env, region, known, nowMs);
  waitUntil(renewed);
  const answered = await within(
    renewed.then(() => true),
    waitMs,
  );
  if (answered === undefined) known.awayUntilMs = nowMs + AWAY_RETRY_MS;
}

/** Never throws. Writes what it learns into memory, where that is not younger already. */
async function renew(env: Pick<Env, "REGIONS">, region: string, known: Memory, nowMs: number): Promise<void> {
  try {
    const nodes = await plain(env, region);
    const takenAtMs = memory.get(region)?.takenAtMs ?? -Infinity;
    // Answers may overtake each other; the younger question's answer stays.
    if (takenAtMs <= nowMs) memory.set(region, { ...NOTHING, nodes, takenAtMs: nowMs });
  } catch (error) {
    logError("region_unreachable", error, { region });
    known.awayUntilMs = nowMs + AWAY_RETRY_MS;
  }
}

/** A copy of the answer that belongs to no request: what RPC hands over may hold on to the call it came by. */
async function plain(env: Pick<Env, "REGIONS">, region: string): Promise<readonly LiveNode[]> {
  return structuredClone([...(await regionObject(env, region).snapshot())]);
}
