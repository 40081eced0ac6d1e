/** `GET /v1/key`: what the key that asks may do, what runs, and what it has spent. Pure. */
import type { KeyLook } from "../core/account.ts";
import { printUsd } from "../core/money.ts";
import type { KeySpend } from "../db/spend.ts";

export function printKey({ account, key }: KeyLook, spend: KeySpend) {
  return {
    object: "key",
    id: key.id,
    name: key.name,
    account: account.account,
    /** Null: never; in seconds. */
    expires_at: key.expiresAtMs === null ? null : Math.floor(key.expiresAtMs / 1_000),
    /** Null: any. */
    models: key.models,
    regions: account.regions,
    /** Null: none. Both apply. */
    limits: {
      requests_per_minute: { key: key.requestsPerMinute, account: account.requestsPerMinute },
      concurrency: { key: key.concurrency, account: account.concurrency },
    },
    running: key.open,
    /** Of this key, by the UTC day and month; what was billed in the last second or two may be missing. */
    spend: {
      currency: "USD",
      day: printUsd(spend.dayNanoUsd),
      month: printUsd(spend.monthNanoUsd),
      total: printUsd(spend.totalNanoUsd),
      requests: spend.requests,
    },
  };
}
