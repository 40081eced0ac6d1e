/**
 * The journal's other half, for beats: receipts on their way, what has been acknowledged, and what has been promised.
 * Same file, same owner. What has been sent in vain is sent again with growing pauses, so that a receipt no edge can
 * read at present keeps nothing else waiting; memory holds none of it.
 */
import type { DatabaseSync } from "node:sqlite";
import type { AttemptName } from "@sluice/protocol/beat";
import type { Signed } from "@sluice/protocol/sign";
import { z } from "zod";

const RESEND_MIN_MS = 1_000;
const RESEND_MAX_MS = 60_000;
const DAY_MS = 86_400_000;
const KEPT_MS = 7 * DAY_MS;
/** Something is wrong where a receipt was rejected; people need time to look. */
const REJECTED_KEPT_MS = 90 * DAY_MS;
const PRUNE_ATTEMPTS_MAX = 200;

export type DueReceipt = Signed & { readonly attempt: number };

const DueRow = z.object({ attempt: z.int(), body: z.string(), sig: z.string() });
const ValueRow = z.object({ value: z.int().nullable() });

/** `forgot_early`: what is not here may have been here. */
type Fact = "promised_ms" | "journal_since_ms" | "forgot_early";

export class Receipts {
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Oldest first. */
  due(nowMs: number, countMax: number): readonly DueReceipt[] {
    return this.#db
      .prepare(
        `SELECT attempt, body, sig FROM receipts WHERE settled_at_ms IS NULL AND send_after_ms <= ?
         ORDER BY send_after_ms, attempt LIMIT ?`,
      )
      .all(nowMs, countMax)
      .map((row) => DueRow.parse(row));
  }

  /** The edge answered and said nothing of these. */
  postpone(attempts: readonly number[], nowMs: number): void {
    const statement = this.#db.prepare(
      `UPDATE receipts SET tries = tries + 1, send_after_ms = ? + min(?, ? * (1 << min(tries, 10)))
       WHERE attempt = ? AND settled_at_ms IS NULL`,
    );
    this.#together(() => {
      for (const attempt of attempts) statement.run(nowMs, RESEND_MAX_MS, RESEND_MIN_MS, attempt);
    });
  }

  acknowledge(names: readonly AttemptName[], nowMs: number): void {
    const settle = this.#db.prepare(
      `UPDATE receipts SET settled_at_ms = ? WHERE settled_at_ms IS NULL AND attempt =
         (SELECT id FROM attempts WHERE request = ? AND ordinal = ? AND choice = ?)`,
    );
    this.#together(() => {
      for (const { request, ordinal, choice } of names) settle.run(nowMs, request, ordinal, choice);
      this.#name(names);
    });
  }

  markNamed(names: readonly AttemptName[]): void {
    this.#together(() => this.#name(names));
  }

  /** They count as named: the edge has seen them, and will never take them. */
  reject(rejected: readonly { readonly ticket: string; readonly why: string }[], nowMs: number): void {
    const settle = this.#db.prepare(
      `UPDATE receipts SET settled_at_ms = ?, rejected = ? WHERE settled_at_ms IS NULL
         AND attempt IN (SELECT id FROM attempts WHERE ticket = ? AND ended IS NOT NULL)`,
    );
    const name = this.#db.prepare("UPDATE attempts SET named = 1 WHERE ticket = ? AND ended IS NOT NULL");
    this.#together(() => {
      for (const { ticket, why } of rejected) {
        settle.run(nowMs, why, ticket);
        name.run(ticket);
      }
    });
  }

  oldestUnnamedIssuedAtMs(): number | undefined {
    return this.#value("SELECT min(issued_at_ms) AS value FROM attempts WHERE named = 0");
  }

  unsettled(): number {
    return this.#value("SELECT count(*) AS value FROM receipts WHERE settled_at_ms IS NULL") ?? 0;
  }

  bytes(): number {
    const sql = "SELECT page_count * page_size AS value FROM pragma_page_count, pragma_page_size";
    return this.#value(sql) ?? 0;
  }

  /** Without the pages that are free for use again. */
  usedBytes(): number {
    const sql = `SELECT (page_count - freelist_count) * page_size AS value
      FROM pragma_page_count, pragma_freelist_count, pragma_page_size`;
    return this.#value(sql) ?? 0;
  }

  fact(name: Fact): number | undefined {
    return (
      ValueRow.optional().parse(this.#db.prepare("SELECT value FROM facts WHERE name = ?").get(name))
        ?.value ?? undefined
    );
  }

  setFact(name: Fact, value: number): void {
    this.#db.prepare("INSERT OR REPLACE INTO facts VALUES (?, ?)").run(name, value);
  }

  /** Forgets old settled attempts, a bounded number at a time; says how many. */
  prune(nowMs: number): number {
    const old = this.#db
      .prepare(
        `SELECT attempt AS value FROM receipts WHERE settled_at_ms IS NOT NULL AND settled_at_ms < ?
           AND (rejected IS NULL OR settled_at_ms < ?) LIMIT ?`,
      )
      .all(nowMs - KEPT_MS, nowMs - REJECTED_KEPT_MS, PRUNE_ATTEMPTS_MAX)
      .map((row) => ValueRow.parse(row).value);
    return this.#forget(old);
  }

  /** Makes room: forgets some of those that were settled longest ago, the rejected ones last; says how many. */
  forgetOldest(): number {
    for (const which of ["rejected IS NULL", "rejected IS NOT NULL"]) {
      // In the index's order, so that it ends with the first of them.
      const oldest = this.#db
        .prepare(
          `SELECT attempt AS value FROM receipts WHERE settled_at_ms IS NOT NULL AND ${which}
           ORDER BY settled_at_ms LIMIT ?`,
        )
        .all(PRUNE_ATTEMPTS_MAX)
        .map((row) => ValueRow.parse(row).value);
      if (oldest.length === 0) continue;
      this.setFact("forgot_early", 1);
      return this.#forget(oldest);
    }
    return 0;
  }

  #forget(attempts: readonly (number | null)[]): number {
    const deletions = ["progress WHERE attempt", "receipts WHERE attempt", "attempts WHERE id"].map((what) =>
      this.#db.prepare(`DELETE FROM ${what} = ?`),
    );
    this.#together(() => {
      for (const attempt of attempts) for (const deletion of deletions) deletion.run(attempt);
    });
    return attempts.length;
  }

  #name(names: readonly AttemptName[]): void {
    const name = this.#db.prepare(
      "UPDATE attempts SET named = 1 WHERE request = ? AND ordinal = ? AND choice = ?",
    );
    for (const { request, ordinal, choice } of names) name.run(request, ordinal, choice);
  }

  #value(sql: string): number | undefined {
    return ValueRow.optional().parse(this.#db.prepare(sql).get())?.value ?? undefined;
  }

  #together(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}
