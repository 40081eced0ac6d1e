/**
 * A leg of a request's way: from where a walk over the nodes begins until an answer breaks off or ends. Most requests
 * have one. A stream whose node dies goes on with another leg, on a node with the same weights, from exactly the tokens
 * the client already has.
 */
import type { Resume } from "@sluice/protocol/call";
import type { Broken } from "../dispatch/walk.ts";
import { NO_PROGRESS, type Progress } from "../relay/progress.ts";

export type Leg = {
  /** The attempt that broke off; undefined on the first leg. */
  readonly after: Broken | undefined;
  /** How far the client has been brought. */
  readonly seen: Progress;
  readonly resume: Resume | undefined;
  readonly weights: string | undefined;
  /** Nodes that have failed this request: no node is asked twice. */
  readonly tried: ReadonlySet<string>;
  readonly promptCeiling: number;
  /** No call of this leg is issued later: the object's bound on beginnings; a stream that runs may go on whenever. */
  readonly issueByMs: number;
};

export function firstLeg(admitted: { readonly promptCeiling: number; readonly issueByMs: number }): Leg {
  return {
    after: undefined,
    seen: NO_PROGRESS,
    resume: undefined,
    weights: undefined,
    tried: new Set(),
    promptCeiling: admitted.promptCeiling,
    issueByMs: admitted.issueByMs,
  };
}

/**
 * The leg after `broken`, where there can be one. Before the first position there is nothing to continue: the next node
 * begins anew, and its events follow those the client has.
 */
export function nextLeg(
  leg: Leg,
  model: string,
  broken: Broken & { readonly promptCeiling: number },
  client: {
    readonly seen: Progress;
    readonly tokens: readonly number[] | undefined;
    readonly tried: readonly string[];
  },
): Leg | undefined {
  const { seen, tokens } = client;
  const weights = leg.weights ?? broken.node.models.find((served) => served.id === model)?.weights;
  if (tokens === undefined || weights === undefined) return undefined;
  const begun = seen.to > 0;
  return {
    after: { ordinal: broken.ordinal, why: broken.why, node: broken.node },
    seen: { ...seen, ended: undefined },
    resume: begun
      ? { from: seen.to, tokens: [...tokens], prompt: seen.prompt, cached: seen.cached }
      : undefined,
    weights: begun ? weights : undefined,
    tried: new Set(client.tried),
    promptCeiling: broken.promptCeiling,
    issueByMs: Number.POSITIVE_INFINITY,
  };
}
