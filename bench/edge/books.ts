/**
 * Proves that Sluice kept its books while it was measured: every request that was sent has one row in D1, exact, with the
 * positions the upstream handed over, and the account's object owes what the rows say. A run where that is not so is void.
 *
 * Reads D1's file beside the running platform. Asking the platform itself would be part of what is measured.
 */
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { openD1File } from "../../tools/run/d1-file.ts";

const SETTLE_MS = 60_000;
const POLL_MS = 20;
/** Events of the account that are no request: its one credit. */
const CREDITS = 1;

const Sums = z.object({
  rows: z.int(),
  requests: z.int(),
  exact: z.int(),
  tokens: z.int(),
  charged: z.int(),
});
export type Sums = z.infer<typeof Sums>;

export class Void extends Error {
  override readonly name = "Void";
}

export class Books {
  readonly #db: DatabaseSync;
  readonly #account: string;

  /** `dataDir` is the worker's; `account` the one that all load is under. */
  constructor(dataDir: string, account: string) {
    this.#db = openD1File(dataDir);
    this.#account = account;
  }

  sums(): Sums {
    return Sums.parse({
      ...this.#db
        .prepare(
          `select count(*) as rows, count(distinct request) as requests,
                  count(*) filter (where certainty = 'exact' and ended = 'stop' and revision = 0) as exact,
                  coalesce(sum(completion_tokens), 0) as tokens, coalesce(sum(charged_nano_usd), 0) as charged
           from usage_events where account = ?`,
        )
        .get(this.#account),
    });
  }

  /** How many requests D1 has, by the number of the last event it took: cheap enough to ask all the time. */
  rows(): number {
    const row = this.#db
      .prepare("select max(seq) as through from ledger_entries where account = ?")
      .get(this.#account);
    return Math.max(0, Number(row?.["through"] ?? 0) - CREDITS);
  }

  /** Waits until there are as many rows as requests were sent; tells how long that took. Throws Void where it is not so. */
  async settled(sent: number): Promise<number> {
    const startedAtMs = performance.now();
    while (this.rows() < sent) {
      if (performance.now() - startedAtMs > SETTLE_MS)
        throw new Void(`${sent} requests were sent and ${this.rows()} are in D1 a minute later`);
      await delay(POLL_MS);
    }
    return performance.now() - startedAtMs;
  }

  /** One exact row per request: of `made` a node made the answer, the others came out of the cache, for nothing. */
  proveRecalled(sent: number, made: number): void {
    const recalled = this.#db
      .prepare(
        `select count(*) as rows, count(distinct request) as requests from usage_events
         where account = ? and certainty = 'exact' and ended = 'recalled' and charged_nano_usd = 0`,
      )
      .get(this.#account);
    const { rows, exact } = this.sums();
    if (
      rows !== sent ||
      exact !== made ||
      recalled?.["requests"] !== sent - made ||
      recalled["rows"] !== sent - made
    )
      throw new Void(
        `${sent} requests were sent, ${made} of them to a node; in D1: ${JSON.stringify({ rows, exact, recalled })}`,
      );
  }

  /** The last word: one exact row per request, and not one more. */
  prove(sent: number, tokens: number): Sums {
    const sums = this.sums();
    if (sums.rows !== sent || sums.requests !== sent || sums.exact !== sent)
      throw new Void(`${sent} requests were sent; in D1: ${JSON.stringify(sums)}`);
    if (sums.tokens !== tokens)
      throw new Void(`${tokens} positions were handed over; D1 says ${sums.tokens}`);
    return sums;
  }

  close(): void {
    this.#db.close();
  }
}
