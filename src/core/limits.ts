/**
 * The limits an account and each of its keys can have. One shape for both, because both mean the same. Days and months
 * are those of UTC: a day ends at midnight, a month with its last day.
 */

/** Null: no limit. */
export type Limits = {
  readonly requestsPerMinute: number | null;
  /** Prompt and output together; reserved by the ceilings, corrected by what was used. */
  readonly tokensPerMinute: number | null;
  readonly requestsPerDay: number | null;
  /** Requests at once. */
  readonly concurrency: number | null;
  readonly budgetDayNanoUsd: number | null;
  readonly budgetMonthNanoUsd: number | null;
  /** Of all time. */
  readonly budgetTotalNanoUsd: number | null;
};

export const NO_LIMITS: Limits = {
  requestsPerMinute: null,
  tokensPerMinute: null,
  requestsPerDay: null,
  concurrency: null,
  budgetDayNanoUsd: null,
  budgetMonthNanoUsd: null,
  budgetTotalNanoUsd: null,
};

/** What is given replaces what was; what is left out stays. */
export function limited(before: Limits, given: Partial<Limits>): Limits {
  return {
    requestsPerMinute: chosen(given.requestsPerMinute, before.requestsPerMinute),
    tokensPerMinute: chosen(given.tokensPerMinute, before.tokensPerMinute),
    requestsPerDay: chosen(given.requestsPerDay, before.requestsPerDay),
    concurrency: chosen(given.concurrency, before.concurrency),
    budgetDayNanoUsd: chosen(given.budgetDayNanoUsd, before.budgetDayNanoUsd),
    budgetMonthNanoUsd: chosen(given.budgetMonthNanoUsd, before.budgetMonthNanoUsd),
    budgetTotalNanoUsd: chosen(given.budgetTotalNanoUsd, before.budgetTotalNanoUsd),
  };
}

function chosen(given: number | null | undefined, before: number | null): number | null {
  return given === undefined ? before : given;
}

/** What a key may be used for. */
export const KEY_SCOPES = [
  /** Requests to models. */
  "inference",
  /** Looking up what it used, what it may use, and the balance. */
  "usage",
  /** Making, listing, changing and revoking keys below itself. */
  "keys",
] as const;
export type KeyScope = (typeof KEY_SCOPES)[number];
export const KEY_SCOPES_DEFAULT: readonly KeyScope[] = ["inference", "usage"];
