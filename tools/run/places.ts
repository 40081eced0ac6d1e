/**
 * Where the nodes of a local platform stand: how many, in which regions, on which ports. A node that stood here before
 * keeps its name, its port and with them its data, which may owe receipts.
 */
import { Region } from "@sluice/protocol/ids";
import { freePort, probePort } from "./ports.ts";
import { PlatformError } from "./problem.ts";
import type { NodePlace } from "./state.ts";

const NODES_MAX = 32;
const REGION_WHERE_NONE_IS_SAID = "local";

export type PlaceWishes = {
  /** As many as regions, or as last time, where not given. */
  readonly nodeCount?: number;
  /** In turn; those of last time where not given. */
  readonly regions?: readonly string[];
};

/** Throws a PlatformError where no platform can be laid out so: before anything is started for it. */
export function checkPlaces({ nodeCount, regions }: PlaceWishes): void {
  if (nodeCount !== undefined && (nodeCount < 1 || nodeCount > NODES_MAX))
    throw new PlatformError(`--nodes wants 1 to ${NODES_MAX}, not ${nodeCount}`);
  if (regions === undefined) return;
  if (regions.length < 1 || regions.length > NODES_MAX)
    throw new PlatformError(`--regions wants 1 to ${NODES_MAX} names, like eu,us`);
  for (const region of regions) {
    const { error } = Region.safeParse(region);
    if (error !== undefined)
      throw new PlatformError(`--regions: "${region}" ${error.issues[0]?.message ?? "names no region"}`);
  }
}

/** Throws a PlatformError where a node's old port is taken. */
export async function layOut(
  wishes: PlaceWishes,
  known: readonly NodePlace[],
): Promise<readonly NodePlace[]> {
  const last = known.filter((place) => place.idle === undefined);
  const regions = wishes.regions ?? [...new Set(last.map((place) => place.region))];
  const named = regions.length > 0 ? regions : [REGION_WHERE_NONE_IS_SAID];
  const count = wishes.nodeCount ?? Math.max(wishes.regions?.length ?? last.length, 1);
  const places: NodePlace[] = [];
  for (let i = 0; i < count; i++) {
    const region = named[i % named.length] ?? REGION_WHERE_NONE_IS_SAID;
    const name = `node-${i + 1}`;
    const before = known.find((place) => place.name === name && place.region === region);
    const port = before === undefined ? await freePort() : await probePort(before.port);
    if (port === undefined)
      throw new PlatformError(
        `port ${before?.port} of ${name} is taken by another program; end that, or start with --fresh`,
      );
    places.push({ name, region, port });
  }
  return places;
}

export function isSamePlace(a: NodePlace, b: NodePlace): boolean {
  return a.name === b.name && a.region === b.region && a.port === b.port;
}
