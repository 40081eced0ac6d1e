/**
 * Asks the regions' objects how far their nodes have named what they accepted. Called from the alarm only, for holds
 * that have lapsed: a rare moment, so the regions of an account that is not pinned are read from D1.
 */
import { regionObject, type Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { regionsKnown } from "../db/registry.ts";
import type { Promises } from "./strike.ts";

/** A name that no region has: it never answers, so where the regions are not known nothing is proved. */
const UNKNOWN_REGION = "";

/** Every region where this account's calls can have gone, and what its nodes promise of calls since `sinceMs`. */
export async function askPromises(
  env: Pick<Env, "DB" | "REGIONS">,
  pinned: readonly string[] | null,
  sinceMs: number,
): Promise<ReadonlyMap<string, Promises>> {
  const regions = pinned ?? (await readRegions(env));
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
