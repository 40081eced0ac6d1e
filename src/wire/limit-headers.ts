/**
 * Limits in response headers, as OpenAI's clients read them: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, the
 * resets as durations ("6m0s", "120ms"). `x-sluice-limit` names the one limit that refused, for programs: which, whose,
 * how much of it is left and when it is reset. Pure.
 */
import type { LimitState } from "@sluice/protocol/account";
import type { Fault } from "../core/fault.ts";
import { printUsd } from "../core/money.ts";

const SECOND_MS = 1_000;
const MINUTE_S = 60;
const HOUR_S = 3_600;

/** "0s", "120ms", "1s", "6m0s", "5h0m12s". Beyond a second, whole seconds, rounded up: nobody comes back too early. */
export function printDuration(ms: number): string {
  if (ms <= 0) return "0s";
  if (ms < SECOND_MS) return `${Math.ceil(ms)}ms`;
  const s = Math.ceil(ms / SECOND_MS);
  const [hours, minutes] = [Math.floor(s / HOUR_S), Math.floor((s % HOUR_S) / MINUTE_S)];
  if (hours > 0) return `${hours}h${minutes}m${s % MINUTE_S}s`;
  return minutes > 0 ? `${minutes}m${s % MINUTE_S}s` : `${s}s`;
}

export type ShownLimits = {
  readonly requestsPerMinute: LimitState | null;
  readonly requestsPerDay?: LimitState | null | undefined;
  readonly tokensPerMinute?: LimitState | null | undefined;
};

/** Headers, or what will be some: a map costs less than as many calls of the platform's. */
export type HeadersShown = { readonly set: (name: string, value: string) => unknown };

/** After an admission. Of the limits on requests the one is shown that will be met first. */
export function showLimits(
  { requestsPerMinute, requestsPerDay, tokensPerMinute }: ShownLimits,
  headers: HeadersShown,
): void {
  const [minute, day] = [requestsPerMinute ?? undefined, requestsPerDay ?? undefined];
  const requests =
    day !== undefined && (minute === undefined || day.remaining < minute.remaining) ? day : minute;
  if (requests !== undefined) show("requests", requests, headers);
  if (tokensPerMinute !== undefined && tokensPerMinute !== null) show("tokens", tokensPerMinute, headers);
}

function show(
  what: "requests" | "tokens",
  { max, remaining, resetMs }: LimitState,
  headers: HeadersShown,
): void {
  headers.set(`x-ratelimit-limit-${what}`, String(max));
  headers.set(`x-ratelimit-remaining-${what}`, String(remaining));
  headers.set(`x-ratelimit-reset-${what}`, printDuration(resetMs));
}

/** Of a refusal: which limit said no. */
export function describeLimit(fault: Fault, headers: Headers): void {
  if (fault.kind === "rate_limited") {
    const { limit, scope, max, remaining = 0, retryAfterMs } = fault;
    const what = limit === "tokens_per_minute" ? "tokens" : "requests";
    show(what, { max, remaining, resetMs: retryAfterMs }, headers);
    headers.set("x-sluice-limit", `${limit}; scope=${scope}; max=${max}; left=${remaining}`);
  }
  if (fault.kind === "concurrency_limited")
    headers.set("x-sluice-limit", `concurrency; scope=${fault.scope}; max=${fault.max}; left=0`);
  if (fault.kind === "budget_exceeded") {
    const { period, scope, maxNanoUsd, spentNanoUsd, heldNanoUsd, resetAtMs } = fault;
    const left = printUsd(Math.max(0, maxNanoUsd - spentNanoUsd - heldNanoUsd));
    const reset = resetAtMs === null ? "" : `; resets=${new Date(resetAtMs).toISOString()}`;
    headers.set(
      "x-sluice-limit",
      `budget_${period}_usd; scope=${scope}; max=${printUsd(maxNanoUsd)}; left=${left}${reset}`,
    );
  }
}
