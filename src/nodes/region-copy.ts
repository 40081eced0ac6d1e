/**
 * Where a region's snapshot comes from: a copy in the data centre's cache, shared by all isolates there, or the
 * region's object, which may be on another continent. Whoever has asked the object leaves what it was told in the cache.
 * So an object is asked about once a second per data centre, however many isolates that has, and while it is away a
 * fresh isolate still finds the last copy.
 */
import { waitUntil } from "cloudflare:workers";
import type { Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import type { LiveNode } from "../core/node.ts";
import { regionPicture } from "../core/region-picture.ts";
import { within } from "../core/within.ts";
import { SNAPSHOT_SERVES_MS } from "./limits.ts";

/** Nothing listens there: a name of its own for keys of the Cache API. */
const CACHE_ORIGIN = "https://fleet.sluice.invalid/1/";
/** The cache is near or it is of no use. */
const CACHE_WAIT_MS = 50;

/** Of a whole picture: one that awaits beats is left for nobody. */
type Copy = Omit<Taken, "awaited">;

export type Taken = {
  readonly nodes: readonly LiveNode[];
  /** Nodes that live by all that is known, and whose beats the object has yet to hear, because it has just woken. */
  readonly awaited: readonly string[];
  /** When the question was asked that these nodes answer. */
  readonly takenAtMs: number;
};

/**
 * The data centre's copy. Undefined where there is none, or where it cannot be had at once. Never throws.
 */
export async function cachedCopy(region: string, nowMs: number): Promise<Taken | undefined> {
  try {
    const response = await within(caches.default.match(CACHE_ORIGIN + region), CACHE_WAIT_MS);
    const taken = response && (await within(response.json<Copy>(), CACHE_WAIT_MS));
    if (taken === undefined || !Array.isArray(taken.nodes) || typeof taken.takenAtMs !== "number")
      return undefined;
    return nowMs - taken.takenAtMs > SNAPSHOT_SERVES_MS ? undefined : { ...taken, awaited: [] };
  } catch (error) {
    logError("fleet_copy_unreadable", error, { region });
    return undefined;
  }
}

/** What the region's object says now. Rejects where it does not answer. */
export async function askedOfObject(
  env: Pick<Env, "REGIONS">,
  region: string,
  nowMs: number,
): Promise<Taken> {
  // A copy that belongs to no request: what RPC hands over may hold on to the call it came by.
  const { nodes, awaited } = structuredClone(await regionPicture(env, region));
  const copy: Copy = { nodes, takenAtMs: nowMs };
  if (awaited.length === 0) waitUntil(leave(region, copy));
  return { ...copy, awaited };
}

/** Never throws: without the copy everybody asks for himself. */
async function leave(region: string, copy: Copy): Promise<void> {
  try {
    const headers = { "cache-control": `public, max-age=${SNAPSHOT_SERVES_MS / 1_000}` };
    await caches.default.put(CACHE_ORIGIN + region, Response.json(copy, { headers }));
  } catch (error) {
    logError("fleet_copy_not_left", error, { region });
  }
}
