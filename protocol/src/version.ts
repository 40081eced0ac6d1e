/**
 * The version of what edge and node say to each other, and how two sides of different age agree on one.
 * Invariant: this build speaks every version from OLDEST to NEWEST; a release may raise OLDEST only to
 * NEWEST - 1, so that version N always talks to N - 1 and a fleet can be upgraded one machine at a time.
 * Two habits make that possible: receivers ignore fields they do not know (no schema here is strict), and a
 * new field is optional until the version that needs it has become OLDEST.
 */
import { z } from "zod";

/** The newest version this build speaks. */
export const NEWEST = 1;
/** The oldest version this build still speaks. */
export const OLDEST = 1;

export const VersionRange = z.object({ min: z.int().min(1), max: z.int().min(1) });
export type VersionRange = z.infer<typeof VersionRange>;

/** What this build says of itself at enrolment and in every beat. */
export const SPOKEN: VersionRange = { min: OLDEST, max: NEWEST };

/** The version both sides shall use: the newest one common to both, or undefined when there is none. */
export function negotiate(ours: VersionRange, theirs: VersionRange): number | undefined {
  const newestCommon = Math.min(ours.max, theirs.max);
  return newestCommon >= Math.max(ours.min, theirs.min) ? newestCommon : undefined;
}

/** Parses the `v` of a message: any version this build speaks. */
export const Version = z.int().min(OLDEST).max(NEWEST);
