/**
 * Whether a body is a call of our edge, for this node, now, and new. Nothing of it is parsed before its MAC has been
 * checked; nothing is remembered of what has no good MAC, so strangers cannot fill our memory.
 */
import { unframeCall, verifyCall, isFresh, type CallHead, type CallKeys } from "@sluice/protocol/call";
import type { Refusal } from "@sluice/protocol/refusal";
import { SPOKEN } from "@sluice/protocol/version";
import { isPromisedAway } from "../beat/complete-through.ts";
import type { Admitting } from "./admitting.ts";

const RETRY_AFTER_MS = 1_000;

export type CallCheck = {
  readonly node: string;
  readonly callKeys: () => CallKeys;
  /** The edge's time; undefined until a beat has been answered. */
  readonly edgeNowMs: () => number | undefined;
  /** The edge's time when this boot's first beat was answered. */
  readonly firstReplyMs: () => number | undefined;
  /** What the newest beat promised, or is about to. */
  readonly promisedMs: () => number;
  readonly admitting: Admitting;
};

export type CheckedCall =
  | { readonly ok: true; readonly head: CallHead; readonly clientBody: Uint8Array; readonly name: string }
  | { readonly ok: false; readonly refusal: Refusal };

function no(refusal: Refusal): CheckedCall {
  return { ok: false, refusal };
}

/** A call that is taken here has to be settled in `admitting`, whatever becomes of it. */
export async function checkCall(
  check: CallCheck,
  path: string,
  macHeader: string | undefined,
  body: Uint8Array,
): Promise<CheckedCall> {
  if (!(await verifyCall(check.callKeys(), macHeader, path, body))) return no({ kind: "bad_mac" });
  const unframed = unframeCall(body);
  if (!unframed.ok)
    return no(
      unframed.why === "unknown_version" ? { kind: "unknown_version", speaks: SPOKEN } : { kind: "bad_call" },
    );
  const { head, clientBody } = unframed;
  if (head.node !== check.node) return no({ kind: "wrong_node" });
  const edgeNowMs = check.edgeNowMs();
  const firstReplyMs = check.firstReplyMs();
  if (edgeNowMs === undefined || firstReplyMs === undefined)
    return no({ kind: "loading", retryAfterMs: RETRY_AFTER_MS });
  const { issuedAtMs } = head;
  // Calls from before this boot may have been refused by the boot before, which has forgotten them.
  const late = issuedAtMs < firstReplyMs || isPromisedAway(issuedAtMs, check.promisedMs());
  if (late || !isFresh(issuedAtMs, edgeNowMs)) return no({ kind: "stale", edgeTimeMs: edgeNowMs });
  const name = `${head.request}/${head.ordinal}`;
  switch (check.admitting.look(name, issuedAtMs, edgeNowMs)) {
    case "replayed":
      return no({ kind: "replayed" });
    case "too_many":
      return no({ kind: "queue_full", retryAfterMs: RETRY_AFTER_MS });
    case "new":
      return { ok: true, head, clientBody, name };
  }
}
