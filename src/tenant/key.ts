/** `GET /v1/key`: what the key that asks may do, what runs, and what it has spent. Pure. */
import type { KeyLook } from "../core/account.ts";
import { printUsd } from "../core/money.ts";

export function printKey({ account, key }: KeyLook) {
  const { used } = key;
  return {
    object: "key",
    id: key.id,
    name: key.name,
    account: account.account,
    /** Null: never; in seconds. */
    expires_at: key.expiresAtMs === null ? null : Math.floor(key.expiresAtMs / 1_000),
    /** Null: any. */
    models: key.models,
    scopes: key.scopes,
    /** Null: any. A request runs where key and account both allow it. */
    regions: key.regions ?? account.regions,
    /** Where prompts may go when no node has room. */
    upstreams: { key: key.upstreams, account: account.upstreams },
    /** Null: none. Both apply; days and months are UTC's. */
    limits: {
      requests_per_minute: { key: key.requestsPerMinute, account: account.requestsPerMinute },
      tokens_per_minute: { key: key.tokensPerMinute, account: account.tokensPerMinute },
      requests_per_day: { key: key.requestsPerDay, account: account.requestsPerDay },
      concurrency: { key: key.concurrency, account: account.concurrency },
      budget_day_usd: { key: usd(key.budgetDayNanoUsd), account: usd(account.budgetDayNanoUsd) },
      budget_month_usd: { key: usd(key.budgetMonthNanoUsd), account: usd(account.budgetMonthNanoUsd) },
      budget_total_usd: { key: usd(key.budgetTotalNanoUsd), account: usd(account.budgetTotalNanoUsd) },
    },
    running: used.open,
    /** Of this key and those it made, as its budgets count it: by the UTC day and month in which it was charged. */
    spend: {
      currency: "USD",
      day: printUsd(used.spentTodayNanoUsd),
      month: printUsd(used.spentThisMonthNanoUsd),
      total: printUsd(used.spentNanoUsd),
      requests_today: used.requestsToday,
    },
  };
}

function usd(nanoUsd: number | null): string | null {
  return nanoUsd === null ? null : printUsd(nanoUsd);
}
