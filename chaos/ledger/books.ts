/**
 * The shapes the judge compares: three books that were written by three parties who do not ask each other.
 *   client   what each call received, counted from its words
 *   engine   every position an engine emitted, from its own file
 *   ledger   D1's rows, and the balances the accounts' objects tell
 */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { openD1File } from "../../tools/run/d1-file.ts";
import type { Emitted } from "../support/stack.ts";

const Attempts = z
  .string()
  .transform((text) => z.array(z.object({ ordinal: z.int(), ended: z.string() })).parse(JSON.parse(text)));

/** One revision of a request's usage, as D1 has it. */
export const Row = z.object({
  account: z.string(),
  request: z.string(),
  revision: z.int(),
  seq: z.int(),
  stream: z.int().transform((value) => value !== 0),
  certainty: z.string(),
  ended: z.string(),
  prompt: z.int(),
  cached: z.int(),
  completion: z.int(),
  cost: z.int(),
  charged: z.int(),
  writtenOff: z.int(),
  price: z.string(),
  attempts: Attempts,
});
export type Row = z.infer<typeof Row>;

const Entry = z.object({
  account: z.string(),
  kind: z.enum(["credit", "usage"]),
  amount: z.int(),
  events: z.int(),
});
export type Entry = z.infer<typeof Entry>;

export const Price = z.object({ id: z.string(), input: z.int(), cached: z.int(), output: z.int() });
export type Price = z.infer<typeof Price>;

/** An account as its object tells it, and what was credited to it. */
export type Holder = {
  readonly account: string;
  readonly creditedNanoUsd: number;
  readonly balanceNanoUsd: number;
  readonly heldNanoUsd: number;
  readonly holds: number;
  readonly lastSeq: number;
  /** All that was ever asked of it is one answer, under one Idempotency-Key. */
  readonly oneAnswer: boolean;
};

export type Ledger = {
  readonly rows: readonly Row[];
  readonly entries: readonly Entry[];
  readonly prices: readonly Price[];
  /** How far each account's log is in D1. */
  readonly applied: ReadonlyMap<string, number>;
};

export function readLedger(workerDataDir: string): Ledger {
  const db = openD1File(workerDataDir);
  try {
    const all = <Shape extends z.ZodType>(shape: Shape, sql: string): z.infer<Shape>[] =>
      db
        .prepare(sql)
        .all()
        .map((row) => shape.parse(row));
    return {
      rows: all(
        Row,
        `select account, request, revision, seq, stream, certainty, ended, prompt_tokens as prompt, cached_tokens as cached,
                completion_tokens as completion, cost_nano_usd as cost, charged_nano_usd as charged,
                write_off_nano_usd as writtenOff, price_id as price, attempts
         from usage_events order by account, request, revision`,
      ),
      entries: all(Entry, "select account, kind, amount_nano_usd as amount, events from ledger_entries"),
      prices: all(
        Price,
        `select id, input_micro_usd_per_m as input, cached_micro_usd_per_m as cached,
                output_micro_usd_per_m as output from prices`,
      ),
      applied: readApplied(db),
    };
  } finally {
    db.close();
  }
}

function readApplied(db: DatabaseSync): ReadonlyMap<string, number> {
  const rows = db.prepare("select account, max(seq) as through from ledger_entries group by account").all();
  return new Map(rows.map((row) => [String(row["account"]), Number(row["through"])]));
}

/** By request: how far each attempt came on its engine. */
export type Made = ReadonlyMap<string, ReadonlyMap<number, number>>;

export function madeOf(emitted: readonly Emitted[]): Made {
  const made = new Map<string, Map<number, number>>();
  for (const { task, position } of emitted) {
    if (typeof task !== "string") continue;
    const [request = "", ordinal = "0"] = task.split("/");
    const attempts = made.get(request) ?? new Map<number, number>();
    made.set(request, attempts);
    attempts.set(Number(ordinal), Math.max(attempts.get(Number(ordinal)) ?? 0, position + 1));
  }
  return made;
}
