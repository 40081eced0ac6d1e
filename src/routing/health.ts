/**
 * Whose fault a failed attempt is, and how long what failed comes last. Pure.
 *
 * Blamed is either the node and its network (`lost`), and then for all its models: a connection that fails or breaks, also in the
 * middle of a stream, silence, a refusal that it would give to everyone. Or one model of it (`failed`), because each has an engine
 * of its own: one that fails, or makes no token in its time. Never blamed: a client that left or sent what no node would take, a
 * node that is busy or leaving, and our own limit on a whole request.
 *
 * One failure is enough, because the first pause is short and being put back costs a healthy node little: others are
 * asked before it, and if none of them answers it is asked after all. Each further failure doubles the pause. When it
 * is over, one call goes there as a probe (half-open); until it has answered, the node stays behind the others.
 */
import type { Overrun } from "@sluice/protocol/account";
import type { Ending } from "@sluice/protocol/receipt";
import type { Refusal } from "@sluice/protocol/refusal";

const PAUSE_FIRST_MS = 1_000;
const PAUSE_MAX_MS = 60_000;
/** A probe that has not answered by then has been forgotten: another may go. */
const PROBE_MS = 10_000;

export type Outcome = "answered" | "failed" | "lost" | "unblamed";

export type Health = {
  readonly failures: number;
  /** Until then it comes last. */
  readonly pausedUntilMs: number;
  readonly probedUntilMs: number;
};

export const WELL: Health = { failures: 0, pausedUntilMs: -Infinity, probedUntilMs: -Infinity };

export function after(health: Health, outcome: Outcome, nowMs: number): Health {
  switch (outcome) {
    case "answered":
      return WELL;
    case "unblamed":
      // The probe has told nothing: the next call is one.
      return { ...health, probedUntilMs: -Infinity };
    case "failed":
    case "lost": {
      // Calls that ran side by side and broke together are one failure.
      if (nowMs < health.pausedUntilMs) return health;
      const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(health.failures, 16));
      return { failures: health.failures + 1, pausedUntilMs: nowMs + pauseMs, probedUntilMs: -Infinity };
    }
  }
}

/** What an outcome means for the node as a whole: who says that an engine of his has failed is there. */
export function ofNode(outcome: Outcome): Outcome {
  return outcome === "failed" ? "answered" : outcome;
}

/** And what for the model that was asked. */
export function ofModel(outcome: Outcome): Outcome {
  return outcome === "lost" ? "unblamed" : outcome;
}

/** A call is sent there: after a pause, that is the probe. */
export function called(health: Health, nowMs: number): Health {
  const halfOpen = health.failures > 0 && nowMs >= health.pausedUntilMs;
  return halfOpen ? { ...health, probedUntilMs: nowMs + PROBE_MS } : health;
}

/** Until when it comes last; undefined where it does not. */
export function behindUntilMs(health: Health, nowMs: number): number | undefined {
  if (health.failures === 0) return undefined;
  const untilMs = Math.max(health.pausedUntilMs, health.probedUntilMs);
  return untilMs > nowMs ? untilMs : undefined;
}

/** An attempt that failed, by the limit that had run out, if one had, and by what the node said of it, if it did. */
export function ofFailure({
  limit,
  ended,
  refused,
}: {
  readonly limit?: Overrun | undefined;
  readonly ended?: Ending | undefined;
  /** Its engine is well, and does not take what is asked. */
  readonly refused?: true | undefined;
}): Outcome {
  if (refused === true) return "unblamed";
  if (limit === "total" || ended === "drained" || ended === "no_room") return "unblamed";
  if (limit === undefined) return ended === undefined || ended === "node_died" ? "lost" : "failed";
  return limit === "connect" || limit === "silence" ? "lost" : "failed";
}

export function ofRefusal({ kind }: Pick<Refusal, "kind">): Outcome {
  switch (kind) {
    case "queue_full":
    case "kv_full":
    case "loading":
    case "draining":
    case "hold_too_small":
    case "prompt_too_long":
    case "invalid_request":
    case "unsupported_parameter":
    case "body_too_large":
    case "other_weights":
    case "replayed":
      return "unblamed";
    case "unknown_model":
      return "failed";
    case "journal_full":
    case "bad_mac":
    case "wrong_node":
    case "stale":
    case "unknown_version":
    case "bad_call":
      return "lost";
  }
}
