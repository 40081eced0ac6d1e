/**
 * The one table of a region's object: a row per registered node. Read whole when the object wakes, written row by row.
 * Without rowid, and no index: one row written per save.
 */
import { z } from "zod";
import type { NodeRecord } from "../core/node.ts";
import type { LastBeat } from "./fence.ts";
import type { Wish } from "./wish.ts";

const SQL_SCHEMA = `
  CREATE TABLE IF NOT EXISTS nodes (
    id TEXT PRIMARY KEY,
    region TEXT NOT NULL,
    url TEXT NOT NULL,
    public_key TEXT NOT NULL,
    -- The last beat that was written, of many: null until the first.
    boot TEXT,
    seq INTEGER,
    beat_at_ms INTEGER,
    complete_through_ms INTEGER,
    journal_since_ms INTEGER,
    wish TEXT NOT NULL,
    wish_deadline_ms INTEGER,
    removed_at_ms INTEGER
  ) STRICT, WITHOUT ROWID`;

export type HeardBeat = LastBeat & {
  readonly completeThroughMs: number;
  readonly journalSinceMs: number;
};

export type SavedNode = {
  readonly record: NodeRecord;
  /** Undefined until the node's first beat: it cannot have had a call before. */
  readonly last: HeardBeat | undefined;
  readonly wish: Wish;
  /** A removed node is shown no more, but what it promised still counts for the calls it may have had. */
  readonly removedAtMs: number | null;
};

const Row = z.object({
  id: z.string(),
  region: z.string(),
  url: z.string(),
  public_key: z.string(),
  boot: z.string().nullable(),
  seq: z.int().nullable(),
  beat_at_ms: z.int().nullable(),
  complete_through_ms: z.int().nullable(),
  journal_since_ms: z.int().nullable(),
  wish: z.enum(["none", "drain", "resume"]),
  wish_deadline_ms: z.int().nullable(),
  removed_at_ms: z.int().nullable(),
});

export class RegionTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SQL_SCHEMA);
  }

  all(): SavedNode[] {
    return this.#sql
      .exec("SELECT * FROM nodes")
      .toArray()
      .map((raw) => {
        const row = Row.parse(raw);
        return {
          record: { id: row.id, region: row.region, url: row.url, publicKey: row.public_key },
          last:
            row.boot === null
              ? undefined
              : {
                  boot: row.boot,
                  seq: row.seq ?? 0,
                  beatAtMs: row.beat_at_ms ?? 0,
                  completeThroughMs: row.complete_through_ms ?? 0,
                  journalSinceMs: row.journal_since_ms ?? 0,
                },
          wish:
            row.wish === "drain"
              ? { kind: "drain", deadlineMs: row.wish_deadline_ms ?? 0 }
              : { kind: row.wish },
          removedAtMs: row.removed_at_ms,
        };
      });
  }

  save({ record, last, wish, removedAtMs }: SavedNode): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      record.id,
      record.region,
      record.url,
      record.publicKey,
      last?.boot ?? null,
      last?.seq ?? null,
      last?.beatAtMs ?? null,
      last?.completeThroughMs ?? null,
      last?.journalSinceMs ?? null,
      wish.kind,
      wish.kind === "drain" ? wish.deadlineMs : null,
      removedAtMs,
    );
  }

  delete(node: string): void {
    this.#sql.exec("DELETE FROM nodes WHERE id = ?", node);
  }
}
