/**
 * Whose fault a failed attempt is, and how long a node that failed comes last. Pure.
 *
 * Blamed are the node and its network: a connection that fails or breaks, also in the middle of a stream, an engine that
 * fails, a limit on its time that runs out, a refusal that it would give to everyone. Never blamed: a client that left
 * or sent what no node would take, a node that is busy or leaving, and our own limit on a whole request.
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

export type Outcome = "answered" | "failed" | "unblamed";

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
    case "failed": {
      // Calls that ran side by side and broke together are one failure.
      if (nowMs < health.pausedUntilMs) return health;
      const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(health.failures, 16));
      return { failures: health.failures + 1, pausedUntilMs: nowMs + pauseMs, probedUntilMs: -Infinity };
    }
  }
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
}: {
  readonly limit?: Overrun | undefined;
  readonly ended?: Ending | undefined;
}): Outcome {
  return limit === "total" || ended === "drained" || ended === "no_room" ? "unblamed" : "failed";
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
    case "journal_full":
    case "bad_mac":
    case "wrong_node":
    case "stale":
    case "unknown_version":
    case "bad_call":
      return "failed";
  }
}
