/**
 * Faults as OpenAI's clients know them: a status, `{"error": {message, type, param, code}}`, and the headers by which
 * the SDKs decide whether to try again. One exhaustive switch: a new kind of fault does not compile until it is here.
 * Statuses and types follow OpenAI's error guide; 402 is ours (and DeepSeek's), because a spent balance is no rate.
 */
import type { Fault, LimitScope } from "../core/fault.ts";
import { printUsd } from "../core/money.ts";
import { describeLimit, printDuration } from "./limit-headers.ts";

export type WireFault = {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
  readonly message: string;
  /** Whether the same call may succeed if it is simply sent again. */
  readonly retry: boolean;
  readonly retryAfterMs?: number;
};

const INVALID = "invalid_request_error";

export function openAiFault(fault: Fault): WireFault {
  switch (fault.kind) {
    case "invalid_request":
      return { ...no(400, INVALID, "invalid_request"), param: fault.param, message: fault.message };
    case "unsupported_parameter":
      return { ...no(400, INVALID, "unsupported_parameter"), param: fault.param, message: fault.message };
    case "too_large":
      return {
        ...no(413, INVALID, "request_too_large"),
        message: `The body is larger than ${fault.bytesMax} bytes.`,
      };
    case "too_slow":
      return {
        ...yes(408, INVALID, "request_timeout", 1_000),
        message:
          `The body did not arrive in time: a pause in it may last ${printDuration(fault.idleMs)}, ` +
          `the whole of it ${printDuration(fault.totalMs)}.`,
      };
    case "not_found":
      return { ...no(404, INVALID, "not_found"), message: `There is nothing at ${fault.what}.` };
    case "method_not_allowed":
      return {
        ...no(405, INVALID, "method_not_allowed"),
        message: `Use ${fault.allow.replace(/, (?=\w+$)/, " or ")} here.`,
      };
    case "model_not_found":
      return {
        ...no(404, INVALID, "model_not_found"),
        param: "model",
        message: `The model '${fault.model}' does not exist. GET /v1/models lists those that do.`,
      };
    case "model_forbidden":
      return {
        ...no(403, "permission_error", "model_forbidden"),
        param: "model",
        message: `This key may not use the model '${fault.model}'.`,
      };
    case "context_exceeded":
      return {
        ...no(400, INVALID, "context_length_exceeded"),
        param: "messages",
        message:
          `The prompt has ${fault.promptTokens} tokens or more; this model's context is ${fault.contextTokens} tokens, ` +
          "and at least one must be left for the answer.",
      };
    case "unauthenticated":
      return {
        ...no(401, "authentication_error", UNAUTHENTICATED_CODE[fault.why]),
        message: UNAUTHENTICATED[fault.why],
      };
    case "account_suspended":
      return { ...no(403, "permission_error", "account_suspended"), message: "This account is suspended." };
    case "scope_missing":
      return {
        ...no(403, "permission_error", "scope_missing"),
        message: `This key has not the scope '${fault.scope}', which this call needs.`,
      };
    case "rate_limited":
      return rateLimited(fault);
    case "concurrency_limited":
      return {
        ...yes(429, "rate_limit_error", "concurrency_limit_exceeded", 1_000),
        message: `${whose(fault.scope)} limit of ${fault.max} concurrent requests is reached. Try again when one has ended.`,
      };
    case "idempotency_conflict":
      return { ...IDEMPOTENCY[fault.state](fault.request), param: "Idempotency-Key" };
    case "budget_exceeded":
      return budgetExceeded(fault);
    case "insufficient_balance": {
      const free = printUsd(Math.max(0, fault.freeNanoUsd));
      const message =
        `This request may cost up to $${printUsd(fault.neededNanoUsd)}; $${free} is free. ` +
        (fault.heldByOthers
          ? "Running requests hold the rest: try again when one has ended, or lower max_tokens."
          : "Add credit, or lower max_tokens.");
      // A spent balance does not come back by asking again; money held by running requests may.
      const base = fault.heldByOthers
        ? yes(402, "insufficient_balance", "insufficient_balance", 1_000)
        : no(402, "insufficient_balance", "insufficient_balance");
      return { ...base, message };
    }
    case "overloaded":
      return {
        ...yes(503, "overloaded_error", "overloaded", fault.retryAfterMs),
        message: overloadMessage(fault),
      };
    case "upstream_failed":
      return {
        ...yes(502, "api_error", "upstream_failed", 1_000),
        message: "The nodes that were asked failed. Nothing is billed for it; try again.",
      };
    case "upstream_timeout":
      return {
        ...yes(504, "api_error", "upstream_timeout", 1_000),
        message: OVERRUN[fault.limit],
      };
    case "data_residency_mismatch":
      return residencyMismatch(fault);
    case "storage_unavailable":
      return {
        ...yes(503, "api_error", "storage_unavailable", 1_000),
        message:
          "The account's books cannot be written at the moment, so nothing was started. Try again shortly.",
      };
    case "misconfigured":
      return {
        ...no(503, "api_error", "misconfigured"),
        message: `This deployment is not ready to serve: ${fault.what}. Its operator's guide is docs/OPERATIONS.md.`,
      };
    case "client_gone":
      return { ...no(499, "api_error", "client_gone"), message: "The client closed the connection." };
    case "internal":
      return {
        ...yes(500, "api_error", "internal_error", 1_000),
        message: "Something went wrong here. The request id names it in our logs.",
      };
  }
}

function overloadMessage({ interrupted, edge }: Extract<Fault, { kind: "overloaded" }>): string {
  if (interrupted)
    return "The node that was answering was lost, and no other could go on. What came before this is billed; try again.";
  return edge
    ? "Too much is under way here at the moment. Try again shortly."
    : "No node has room for this request at the moment. Try again shortly.";
}

const OVERRUN: { readonly [Limit in Extract<Fault, { kind: "upstream_timeout" }>["limit"]]: string } = {
  connect: "The node that was asked did not take the call in time. Try again.",
  silence: "The node that was asked fell silent. Try again.",
  first_token: "The node that was asked had no first token in time. Try again.",
  between_tokens: "The node that was answering made no further token in time. Try again.",
  total: "The request took longer than this deployment allows. Ask for less at a time.",
};

type Conflict = Extract<Fault, { kind: "idempotency_conflict" }>;

const IDEMPOTENCY: { readonly [S in Conflict["state"]]: (request: string) => WireFault } = {
  running: (request) => ({
    ...yes(409, "conflict_error", "request_in_progress", 1_000),
    message: `A call with this Idempotency-Key is under way as ${request}. Try again when it has ended.`,
  }),
  completed: (request) => ({
    ...no(409, "conflict_error", "already_completed"),
    message:
      `The call with this Idempotency-Key is over and is not run or billed again. ` +
      `GET /v1/generation?id=${request} says what came of it.`,
  }),
  changed: (request) => ({
    ...no(422, INVALID, "idempotency_key_reused"),
    message: `This Idempotency-Key was given with another body, for ${request}. Use a new key for a new call.`,
  }),
};

function residencyMismatch({
  regions,
  never,
}: Extract<Fault, { kind: "data_residency_mismatch" }>): WireFault {
  const code = "data_residency_mismatch";
  if (!never)
    return {
      ...yes(503, "overloaded_error", code, 2_000),
      message:
        `No node in the regions this request may use${listed(regions)} can take it at the moment, ` +
        "and it is not sent anywhere else. Try again shortly.",
    };
  if (regions.length === 0)
    return {
      ...no(403, "permission_error", code),
      message: "This key and its account have no region in common. Nothing was sent anywhere.",
    };
  return {
    ...no(403, "permission_error", code),
    param: "x-sluice-regions",
    message: `None of the regions asked for is among those this key may use${listed(regions)}.`,
  };
}

function listed(regions: readonly string[]): string {
  return regions.length === 0 ? "" : ` (${regions.join(", ")})`;
}

const WHOSE: { readonly [S in LimitScope]: string } = {
  account: "The account's",
  key: "This key's",
  maker: "The maker key's",
};

function whose(scope: LimitScope): string {
  return WHOSE[scope];
}

const RATE: { readonly [L in RateLimited["limit"]]: string } = {
  requests_per_minute: "requests per minute",
  tokens_per_minute: "tokens per minute",
  requests_per_day: "requests per day (UTC)",
};

/** Longer than any client waits: said, and not to be tried again by itself. */
const RETRY_WITHIN_MS_MAX = 60_000;

type RateLimited = Extract<Fault, { kind: "rate_limited" }>;

function rateLimited({ limit, scope, max, remaining = 0, needed, retryAfterMs }: RateLimited): WireFault {
  const named = `${whose(scope)} limit of ${max} ${RATE[limit]}`;
  const never = needed !== undefined && needed > max;
  if (never)
    return {
      ...no(429, "rate_limit_error", "rate_limit_exceeded"),
      message: `${named} is less than this request may use: ${needed}. Lower max_tokens, or shorten the prompt.`,
    };
  const short =
    needed === undefined ? "is reached" : `leaves ${remaining} now, and this request may use ${needed}`;
  const advice = yes(429, "rate_limit_error", "rate_limit_exceeded", retryAfterMs);
  return {
    ...advice,
    retry: retryAfterMs <= RETRY_WITHIN_MS_MAX,
    message: `${named} ${short}. Try again in ${printDuration(retryAfterMs)}.`,
  };
}

function budgetExceeded(fault: Extract<Fault, { kind: "budget_exceeded" }>): WireFault {
  const { scope, period, maxNanoUsd, spentNanoUsd, heldNanoUsd, neededNanoUsd, resetAtMs } = fault;
  const per = period === "total" ? "in total" : `a ${period} (UTC)`;
  const left = Math.max(0, maxNanoUsd - spentNanoUsd - heldNanoUsd);
  const reset =
    resetAtMs === null ? "It is never reset." : `It is reset at ${new Date(resetAtMs).toISOString()}.`;
  const base = fault.heldByOthers
    ? yes(402, "insufficient_balance", "budget_exceeded", 1_000)
    : no(402, "insufficient_balance", "budget_exceeded");
  return {
    ...base,
    message:
      `${whose(scope)} budget is $${printUsd(maxNanoUsd)} ${per}: $${printUsd(spentNanoUsd)} is spent, ` +
      `$${printUsd(heldNanoUsd)} held by running requests, $${printUsd(left)} left. ` +
      `This request may cost up to $${printUsd(neededNanoUsd)}. ` +
      (fault.heldByOthers ? "Try again when a running request has ended, or lower max_tokens. " : "") +
      reset,
  };
}

type Why = Extract<Fault, { kind: "unauthenticated" }>["why"];

const UNAUTHENTICATED: { readonly [W in Why]: string } = {
  missing: "No API key was given. Send it as 'Authorization: Bearer sk-sluice-...'.",
  malformed: "This is not an API key of this deployment.",
  unknown: "This API key is not known.",
  revoked: "This API key has been revoked.",
  expired: "This API key has expired.",
};

const UNAUTHENTICATED_CODE: { readonly [W in Why]: string } = {
  missing: "missing_api_key",
  malformed: "invalid_api_key",
  unknown: "invalid_api_key",
  revoked: "api_key_revoked",
  expired: "api_key_expired",
};

function no(status: number, type: string, code: string): Omit<WireFault, "message"> {
  return { status, type, code, param: null, retry: false };
}

function yes(status: number, type: string, code: string, retryAfterMs: number): Omit<WireFault, "message"> {
  return { status, type, code, param: null, retry: true, retryAfterMs };
}

function errorBody(fault: WireFault): string {
  const { message, type, param, code } = fault;
  return JSON.stringify({ error: { message, type, param, code } });
}

/** A fault as a whole response. */
export function faultResponse(fault: Fault, requestId: string): Response {
  const wire = openAiFault(fault);
  const headers = new Headers({
    "content-type": "application/json",
    "x-request-id": requestId,
    "x-should-retry": String(wire.retry),
  });
  if (wire.retryAfterMs !== undefined) {
    headers.set("retry-after-ms", String(wire.retryAfterMs));
    headers.set("retry-after", String(Math.max(1, Math.ceil(wire.retryAfterMs / 1_000))));
  }
  if (fault.kind === "method_not_allowed") headers.set("allow", fault.allow);
  describeLimit(fault, headers);
  return new Response(errorBody(wire), { status: wire.status, headers });
}

/** A fault after a stream's status has gone: one last event, and never `[DONE]`. */
export function faultEvent(fault: Fault): string {
  return `data: ${errorBody(openAiFault(fault))}\n\n`;
}
