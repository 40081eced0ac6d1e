/**
 * Asks the regions' objects how far their nodes have named what they accepted. Called from the alarm only, for holds
 * that have lapsed: a rare moment, so where a request was not pinned the regions there are come from D1.
 */
import { regionObject, type Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { regionsKnown } from "../db/registry.ts";
import type { Hold } from "./facts.ts";
import type { Promises } from "./strike.ts";

/** A name that no region has: it never answers, so where the regions are not known nothing is proved. */
const UNKNOWN_REGION = "";

/**
 * Every region where the calls of these holds can have gone, whatever the account allows today, and what its nodes promise of calls
 * since the first of them.
 */
export async function askPromises(
  env: Pick<Env, "DB" | "REGIONS">,
  holds: readonly Pick<Hold, "regions" | "admittedAtMs">[],
): Promise<ReadonlyMap<string, Promises>> {
  const sinceMs = Math.min(...holds.map((hold) => hold.admittedAtMs));
  const anywhere = holds.some((hold) => hold.regions === undefined);
  const pinned = holds.flatMap((hold) => hold.regions ?? []);
  const regions = [...new Set([...pinned, ...(anywhere ? await readRegions(env) : [])])];
  const answers = await Promise.all(
    regions.map(async (region): Promise<readonly [string, Promises]> => {
      if (region === UNKNOWN_REGION) return [region, undefined];
      try {
        return [region, await regionObject(env, region).completeThrough(sinceMs)];
      } catch (error) {
        // No promise is no proof: the hold waits on.
        logError("region_unreachable", error, { region });
        return [region, undefined];
      }
    }),
  );
  return new Map(answers);
}

async function readRegions(env: Pick<Env, "DB">): Promise<readonly string[]> {
  try {
    // Every region there ever was: a region whose last node was removed still answers for what that node took.
    return await regionsKnown(env);
  } catch (error) {
    logError("regions_unknown", error);
    return [UNKNOWN_REGION];
  }
}
