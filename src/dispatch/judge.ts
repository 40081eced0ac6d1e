/**
 * What a refusal means for the request: ask elsewhere, extend the hold and ask again, or tell the client. Pure.
 */
import type { Refusal } from "@sluice/protocol/refusal";
import type { Fault } from "../core/fault.ts";

export type Judgement =
  /**
   * Another node may take it. `retryAfterMs` is this node's own guess, for the case that none does; `busy`: so may this one
   * by then.
   */
  | { readonly kind: "next"; readonly retryAfterMs: number; readonly busy: boolean }
  /** This engine cannot do it; another one may. Where none can, the client has to know. */
  | { readonly kind: "cannot"; readonly fault: Fault }
  | { readonly kind: "extend"; readonly promptTokens: number }
  /** It would be the same on every node. */
  | { readonly kind: "fault"; readonly fault: Fault };

const RETRY_AFTER_MS = 1_000;

export function judge(refusal: Refusal): Judgement {
  switch (refusal.kind) {
    case "hold_too_small":
      return { kind: "extend", promptTokens: refusal.promptTokens };
    case "queue_full":
    case "kv_full":
    case "loading":
      return { kind: "next", retryAfterMs: refusal.retryAfterMs, busy: true };
    case "journal_full":
      return { kind: "next", retryAfterMs: refusal.retryAfterMs, busy: false };
    case "draining":
    // A node that does not know a model its beat named, or does not believe our MAC, version or clock, is a node with a
    // problem; the client did nothing wrong, and another node may be well.
    case "unknown_model":
    case "bad_mac":
    case "wrong_node":
    case "stale":
    case "replayed":
    case "unknown_version":
    case "bad_call":
    case "other_weights":
      return { kind: "next", retryAfterMs: RETRY_AFTER_MS, busy: false };
    case "prompt_too_long":
      return {
        kind: "cannot",
        fault: {
          kind: "context_exceeded",
          promptTokens: refusal.promptTokens,
          contextTokens: refusal.contextTokens,
        },
      };
    case "invalid_request":
      return {
        kind: "fault",
        fault: { kind: "invalid_request", message: refusal.message, param: refusal.param },
      };
    case "unsupported_parameter":
      return {
        kind: refusal.elsewhere === true ? "cannot" : "fault",
        fault: { kind: "unsupported_parameter", message: refusal.message, param: refusal.param },
      };
    case "body_too_large":
      return { kind: "fault", fault: { kind: "too_large", bytesMax: refusal.bytesMax } };
  }
}
