/**
 * The probe: has a node's engine make one token, so that a node nobody has used lately is known to work before a client
 * finds out. GET `/node/v1/probe/<model>?at=<ms>`, under the MAC of a call with an empty body; `at` is the moment it was
 * asked, by the edge's clock, and bounds how long the MAC is good for.
 *
 * It is no attempt: no ticket, no row in the journal, no receipt, and so nothing that could be billed to anybody. A node that
 * answers probes says so (`probe` among a model's features). It takes one at a time, and refuses the next for a while.
 */
import { z } from "zod";
import { BootId } from "./ids.ts";
import { Version } from "./version.ts";

export const PROBE_PATH = "/node/v1/probe";
export const PROBE_FEATURE = "probe";
/** A node takes no more probes than one in this time... */
export const PROBE_INTERVAL_MIN_MS = 1_000;
/** ...and gives its engine this long for the token. */
export const PROBE_MS_MAX = 8_000;

export function probePath(model: string, askedAtMs: number): string {
  return `${PROBE_PATH}/${encodeURIComponent(model)}?at=${askedAtMs}`;
}

export const ProbeAnswer = z.object({
  v: Version,
  boot: BootId,
  model: z.string().min(1).max(128),
  /** Tokens the engine has made for this probe. */
  tokens: z.int().min(1),
  /** From the asking of the engine to the token. */
  ms: z.int().min(0),
});
export type ProbeAnswer = z.infer<typeof ProbeAnswer>;

/** The node took the probe and its engine did not make a token. */
export const ProbeFailure = z.object({ failed: z.enum(["engine_failed", "too_slow"]) });
export type ProbeFailure = z.infer<typeof ProbeFailure>;
