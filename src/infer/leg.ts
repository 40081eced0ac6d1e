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
  /** Nodes that have failed this request, and from which position each was asked to answer: see dispatch/order.ts. */
  readonly failed: ReadonlyMap<string, number>;
  readonly promptCeiling: number;
  /** The hold has been extended for a node's count of the prompt: it is once. */
  readonly extended: boolean;
  /** No call of this leg is issued later: the object's bound on beginnings; a stream that runs may go on whenever. */
  readonly issueByMs: number;
};

export function firstLeg(admitted: { readonly promptCeiling: number; readonly issueByMs: number }): Leg {
  return {
    after: undefined,
    seen: NO_PROGRESS,
    resume: undefined,
    weights: undefined,
    failed: new Map(),
    promptCeiling: admitted.promptCeiling,
    extended: false,
    issueByMs: admitted.issueByMs,
  };
}

/**
 * The leg after `broken`, where there can be one. Before the first position there is nothing to continue: the next node
 * begins anew, and its events follow those the client has.
 */
export function nextLeg(
  leg: Leg,
  broken: Broken & Pick<Leg, "promptCeiling" | "extended">,
  client: {
    readonly seen: Progress;
    readonly tokens: readonly number[] | undefined;
    readonly failed: ReadonlyMap<string, number>;
  },
): Leg | undefined {
  const { seen, tokens } = client;
  // The answering node's own word: a snapshot may be older than a change of its weights.
  const weights = leg.weights ?? seen.weights;
  if (tokens === undefined || weights === undefined) return undefined;
  const begun = seen.to > 0;
  const { prompt, cached } = seen;
  return {
    after: {
      ordinal: broken.ordinal,
      why: broken.why,
      limit: broken.limit,
      ended: broken.ended,
      node: broken.node,
    },
    seen: { ...seen, ended: undefined },
    resume: begun ? { from: seen.to, tokens: [...tokens], prompt, cached, weights } : undefined,
    weights: begun ? weights : undefined,
    failed: new Map(client.failed),
    promptCeiling: broken.promptCeiling,
    extended: broken.extended,
    issueByMs: Number.POSITIVE_INFINITY,
  };
}
