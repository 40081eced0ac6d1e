/**
 * `x-sluice-regions: eu,us`: where this one request may run, for clients that want it narrower than their account and
 * key do. It binds compute, caches and failover alike. A region that is not known here is a mistake in the request, not
 * an empty place: whoever misspells a pin must hear of it. Pure.
 */
import { FaultError } from "../core/fault.ts";

export const REGIONS_HEADER = "x-sluice-regions";
const HEADER_CHARS_MAX = 1_000;
/** So many of the known regions are named in a complaint. */
const NAMED_MAX = 20;

/** Sorted, each once; null where nothing is asked. Throws a FaultError that names the header. */
export function readRegions(header: string | null, known: readonly string[]): readonly string[] | null {
  if (header === null) return null;
  if (header.length > HEADER_CHARS_MAX) throw wrong("it is too long");
  const asked = new Set(header.split(",").map((name) => name.trim().toLowerCase()));
  asked.delete("");
  if (asked.size === 0) throw wrong(`it names no region; known are ${listed(known)}`);
  for (const region of asked)
    if (!known.includes(region)) throw wrong(`there is no region '${region}'; known are ${listed(known)}`);
  return [...asked].sort();
}

function listed(regions: readonly string[]): string {
  const more = regions.length > NAMED_MAX ? " and others" : "";
  return regions.length === 0 ? "none yet" : regions.slice(0, NAMED_MAX).join(", ") + more;
}

function wrong(why: string): FaultError {
  return new FaultError({
    kind: "invalid_request",
    param: REGIONS_HEADER,
    message: `Invalid '${REGIONS_HEADER}': ${why}.`,
  });
}

/** Both narrow; null is anywhere. */
export function narrowed(
  allowed: readonly string[] | null,
  asked: readonly string[] | null,
): readonly string[] | null {
  if (allowed === null || asked === null) return allowed ?? asked;
  return asked.filter((region) => allowed.includes(region));
}
