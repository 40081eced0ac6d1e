/** Limits in headers, as OpenAI's clients read them. */
import { expect, test } from "vitest";
import type { Fault } from "../../../src/core/fault.ts";
import { printDuration, showLimits } from "../../../src/wire/limit-headers.ts";
import { faultResponse, openAiFault } from "../../../src/wire/openai-fault.ts";

test.each([
  [0, "0s"],
  [0.2, "1ms"],
  [120, "120ms"],
  [1_000, "1s"],
  [1_001, "2s"],
  [59_999, "1m0s"],
  [360_000, "6m0s"],
  [18_012_000, "5h0m12s"],
])("%d ms is printed as %s", (ms, text) => {
  expect(printDuration(ms)).toBe(text);
});

const state = (max: number, remaining: number, resetMs: number) => ({ max, remaining, resetMs });

test("an answer says what is left of requests and tokens, and when each is full again", () => {
  const headers = new Headers();
  showLimits(
    { requestsPerMinute: state(60, 59, 1_000), tokensPerMinute: state(4_000, 3_000, 15_000) },
    headers,
  );
  expect(Object.fromEntries(headers)).toEqual({
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "4000",
    "x-ratelimit-remaining-tokens": "3000",
    "x-ratelimit-reset-tokens": "15s",
  });
});

test("of a minute's and a day's requests the one is shown that will be met first", () => {
  const shown = (minute: number, day: number): string | null => {
    const headers = new Headers();
    showLimits(
      { requestsPerMinute: state(60, minute, 1), requestsPerDay: state(1_000, day, 9_000_000) },
      headers,
    );
    return headers.get("x-ratelimit-limit-requests");
  };
  expect([shown(50, 40), shown(40, 50)]).toEqual(["1000", "60"]);
});

test("without limits there are no headers", () => {
  const headers = new Headers();
  showLimits({ requestsPerMinute: null, requestsPerDay: null, tokensPerMinute: null }, headers);
  expect([...headers]).toEqual([]);
});

const rate = { kind: "rate_limited", scope: "account", max: 100 } as const;
const budget = {
  kind: "budget_exceeded",
  scope: "key",
  maxNanoUsd: 10_000_000_000,
  spentNanoUsd: 9_500_000_000,
  heldNanoUsd: 250_000_000,
  neededNanoUsd: 1_000_000_000,
} as const;
const NOON = Date.UTC(2026, 10, 27);

test.each<readonly [string, Fault, number, boolean, RegExp, string | null]>([
  [
    "tokens per minute",
    { ...rate, limit: "tokens_per_minute", remaining: 40, needed: 90, retryAfterMs: 30_000 },
    429,
    true,
    /account's limit of 100 tokens per minute leaves 40 now, and this request may use 90. Try again in 30s/,
    "tokens_per_minute; scope=account; max=100; left=40",
  ],
  [
    "tokens that never fit",
    { ...rate, limit: "tokens_per_minute", remaining: 100, needed: 101, retryAfterMs: 60_000 },
    429,
    false,
    /Lower max_tokens/,
    "tokens_per_minute; scope=account; max=100; left=100",
  ],
  [
    "requests per day",
    { ...rate, limit: "requests_per_day", remaining: 0, retryAfterMs: 18_000_000 },
    429,
    false,
    /100 requests per day \(UTC\) is reached. Try again in 5h0m0s/,
    "requests_per_day; scope=account; max=100; left=0",
  ],
  [
    "a day's budget",
    { ...budget, period: "day", resetAtMs: NOON, heldByOthers: false },
    402,
    false,
    /This key's budget is \$10.00 a day \(UTC\): \$9.50 is spent, \$0.25 held .* \$0.25 left.* reset at 2026-11-27T00:00/,
    "budget_day_usd; scope=key; max=10.00; left=0.25; resets=2026-11-27T00:00:00.000Z",
  ],
  [
    "a budget that running requests hold",
    { ...budget, period: "total", resetAtMs: null, heldByOthers: true },
    402,
    true,
    /Try again when a running request has ended.*never reset/,
    "budget_total_usd; scope=key; max=10.00; left=0.25",
  ],
])(
  "a refusal over %s says which, whose, how much is left, when, and whether to retry",
  (...[, fault, status, retry, message, header]) => {
    const wire = openAiFault(fault);
    expect(wire).toMatchObject({ status, retry });
    expect(wire.message).toMatch(message);
    expect(faultResponse(fault, "req_1").headers.get("x-sluice-limit")).toBe(header);
  },
);
