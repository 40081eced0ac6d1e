/** How faults look to OpenAI's clients: status, code, whether they try again; and that docs/ERRORS.md says so. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Fault } from "../../../src/core/fault.ts";
import { faultEvent, faultResponse, openAiFault } from "../../../src/wire/openai-fault.ts";

const money = { neededNanoUsd: 2_000_000_000, freeNanoUsd: 500_000_000 };

const budget = {
  scope: "key",
  period: "day",
  maxNanoUsd: 1_000_000_000,
  spentNanoUsd: 1_000_000_000,
  heldNanoUsd: 0,
  neededNanoUsd: 1,
  resetAtMs: null,
} as const;

const table: readonly (readonly [Fault, number, string, boolean])[] = [
  [{ kind: "invalid_request", message: "m", param: "p" }, 400, "invalid_request", false],
  [{ kind: "unsupported_parameter", message: "m", param: "n" }, 400, "unsupported_parameter", false],
  [{ kind: "too_large", bytesMax: 5 }, 413, "request_too_large", false],
  [{ kind: "too_slow", idleMs: 10_000, totalMs: 60_000 }, 408, "request_timeout", true],
  [{ kind: "not_found", what: "/x" }, 404, "not_found", false],
  [{ kind: "model_not_found", model: "x" }, 404, "model_not_found", false],
  [{ kind: "model_forbidden", model: "x" }, 403, "model_forbidden", false],
  [{ kind: "context_exceeded", promptTokens: 9, contextTokens: 8 }, 400, "context_length_exceeded", false],
  [{ kind: "unauthenticated", why: "missing" }, 401, "missing_api_key", false],
  [{ kind: "unauthenticated", why: "malformed" }, 401, "invalid_api_key", false],
  [{ kind: "unauthenticated", why: "revoked" }, 401, "api_key_revoked", false],
  [{ kind: "unauthenticated", why: "expired" }, 401, "api_key_expired", false],
  [{ kind: "account_suspended" }, 403, "account_suspended", false],
  [
    { kind: "rate_limited", limit: "requests_per_minute", scope: "key", max: 3, retryAfterMs: 1_500 },
    429,
    "rate_limit_exceeded",
    true,
  ],
  [{ kind: "concurrency_limited", scope: "account", max: 1 }, 429, "concurrency_limit_exceeded", true],
  [{ kind: "insufficient_balance", ...money, heldByOthers: false }, 402, "insufficient_balance", false],
  [{ kind: "insufficient_balance", ...money, heldByOthers: true }, 402, "insufficient_balance", true],
  [{ kind: "budget_exceeded", ...budget, heldByOthers: false }, 402, "budget_exceeded", false],
  [{ kind: "budget_exceeded", ...budget, heldByOthers: true }, 402, "budget_exceeded", true],
  [{ kind: "method_not_allowed", allow: "POST" }, 405, "method_not_allowed", false],
  [{ kind: "client_gone" }, 499, "client_gone", false],
  [{ kind: "scope_missing", scope: "inference" }, 403, "scope_missing", false],
  [{ kind: "data_residency_mismatch", regions: [], never: true }, 403, "data_residency_mismatch", false],
  [{ kind: "idempotency_conflict", state: "running", request: "r" }, 409, "request_in_progress", true],
  [{ kind: "idempotency_conflict", state: "completed", request: "r" }, 409, "already_completed", false],
  [{ kind: "idempotency_conflict", state: "changed", request: "r" }, 422, "idempotency_key_reused", false],
  [{ kind: "overloaded", retryAfterMs: 2_000 }, 503, "overloaded", true],
  [{ kind: "overloaded", retryAfterMs: 2_000, edge: true }, 503, "overloaded", true],
  [{ kind: "upstream_failed" }, 502, "upstream_failed", true],
  [{ kind: "upstream_timeout", limit: "first_token" }, 504, "upstream_timeout", true],
  [{ kind: "data_residency_mismatch", regions: ["eu"], never: false }, 503, "data_residency_mismatch", true],
  [{ kind: "data_residency_mismatch", regions: ["eu"], never: true }, 403, "data_residency_mismatch", false],
  [{ kind: "storage_unavailable" }, 503, "storage_unavailable", true],
  [{ kind: "misconfigured", what: "SLUICE_SECRETS is not set" }, 503, "misconfigured", false],
  [{ kind: "internal" }, 500, "internal_error", true],
];

test.each(table)("%o has its status, its code and its advice", (fault, status, code, retry) => {
  expect(openAiFault(fault)).toMatchObject({ status, code, retry });
});

test("docs/ERRORS.md has just these errors, each with its status", () => {
  const page = readFileSync("docs/ERRORS.md", "utf8");
  const told = [...page.matchAll(/^\| (\d{3}) \| ([^|]+) \|/gm)].flatMap(([, status, codes = ""]) =>
    [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => `${status} ${code}`),
  );
  expect(told.toSorted()).toEqual(
    [...new Set(table.map(([, status, code]) => `${status} ${code}`))].toSorted(),
  );
});

test("a response carries the request's id, the advice to retry, and when", async () => {
  const response = faultResponse(
    { kind: "rate_limited", limit: "requests_per_minute", scope: "key", max: 3, retryAfterMs: 1_500 },
    "req_1",
  );
  expect(response.status).toBe(429);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "x-request-id": "req_1",
    "x-should-retry": "true",
    "retry-after-ms": "1500",
    "retry-after": "2",
  });
  expect(Object.keys(((await response.json()) as { error: object }).error).sort()).toEqual([
    "code",
    "message",
    "param",
    "type",
  ]);
});

test("a stream's last event is an error object, and nothing says [DONE]", () => {
  const event = faultEvent({ kind: "overloaded", retryAfterMs: 1_000 });
  expect(event).toMatch(/^data: \{"error":\{.*"code":"overloaded"\}\}\n\n$/);
  expect(event).not.toContain("[DONE]");
});

test("a spent balance says what is needed and what is free, in dollars", () => {
  const { message } = openAiFault({ kind: "insufficient_balance", ...money, heldByOthers: false });
  expect(message).toContain("$2.00");
  expect(message).toContain("$0.50");
});
