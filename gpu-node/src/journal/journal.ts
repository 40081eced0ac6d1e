/**
 * The journal: what this node began, made and said of it. It is the owner of the truth "what was generated"; receipts
 * are made from it, and after a crash from it alone.
 *
 * Invariants: `begun` is committed before any engine work and before `accepted` leaves; `progress` before the events it
 * covers are written; an attempt has at most one receipt. Reads and writes of running attempts go through grouped
 * commits; what beats do (receipts, acknowledgements, promises) is in receipts.ts on the same file.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { AttemptName } from "@sluice/protocol/beat";
import type { JournalAnswer, JournalList } from "@sluice/protocol/journal";
import { JOURNAL_LIST_MAX, JOURNAL_POSITIONS_MAX } from "@sluice/protocol/limits";
import { Ending } from "@sluice/protocol/receipt";
import type { Signed } from "@sluice/protocol/sign";
import { NEWEST } from "@sluice/protocol/version";
import { z } from "zod";
import { GroupedWrites } from "./grouped.ts";
import { packIds, unpackIds } from "./ids-blob.ts";

/** An attempt as it begins. Counts are those a resume echoes, or 0. */
export type Begun = {
  readonly request: string;
  readonly ordinal: number;
  readonly node: string;
  readonly boot: string;
  readonly ticket: string;
  readonly issuedAtMs: number;
  readonly begunAtMs: number;
  readonly weights: string;
  readonly from: number;
  readonly reasoning: number;
  readonly prompt: number;
  readonly cached: number;
};

export type Progress = {
  readonly from: number;
  readonly to: number;
  readonly reasoning: number;
  readonly ids: readonly number[];
};

/** Known once the first token is there. */
export type Counts = {
  readonly prompt: number;
  readonly cached: number;
  readonly queueMs: number;
  readonly prefillMs: number;
};

/** An attempt the process died under, with the last that was journalled of it. */
export type Unfinished = Begun &
  Counts & {
    readonly id: number;
    readonly to: number;
    /** Of an answer in one piece that was whole, and perhaps written. */
    readonly ends: Ending | undefined;
  };

const AttemptRow = z.object({
  id: z.int(),
  request: z.string(),
  ordinal: z.int(),
  node: z.string(),
  boot: z.string(),
  ticket: z.string(),
  issued_at_ms: z.int(),
  begun_at_ms: z.int(),
  weights: z.string(),
  from_position: z.int(),
  reasoning: z.int(),
  prompt: z.int(),
  cached: z.int(),
  queue_ms: z.int(),
  prefill_ms: z.int(),
  ends: Ending.nullable(),
});

const ReadRow = z.object({ id: z.int(), ended: Ending.nullable(), to_position: z.int().nullable() });
const ListRow = z.object({
  id: z.int(),
  request: z.string(),
  ordinal: z.int(),
  choice: z.int(),
  ticket: z.string(),
  begun_at_ms: z.int(),
  ended: Ending.nullable(),
  to_position: z.int().nullable(),
  ended_at_ms: z.int().nullable(),
  settled_at_ms: z.int().nullable(),
  rejected: z.string().nullable(),
});
const LastIdRow = z.object({ seq: z.int() });
const LastRow = z.object({ to_position: z.int(), reasoning: z.int() });
const ChunkRow = z.object({ from_position: z.int(), ids: z.instanceof(Uint8Array) });

export class Journal {
  readonly #db: DatabaseSync;
  readonly #writes: GroupedWrites;
  readonly #insertAttempt: StatementSync;
  readonly #insertProgress: StatementSync;
  readonly #setCounts: StatementSync;
  readonly #setEnds: StatementSync;
  readonly #setEnded: StatementSync;
  readonly #insertReceipt: StatementSync;
  readonly #lastId: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#writes = new GroupedWrites(db);
    this.#insertAttempt = db.prepare(
      `INSERT OR IGNORE INTO attempts (request, ordinal, choice, node, boot, ticket, issued_at_ms, begun_at_ms, weights,
         from_position, reasoning, prompt, cached, queue_ms, prefill_ms)
       VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)`,
    );
    this.#insertProgress = db.prepare("INSERT INTO progress VALUES (?, ?, ?, ?, ?)");
    this.#setCounts = db.prepare(
      "UPDATE attempts SET prompt = ?, cached = ?, queue_ms = ?, prefill_ms = ? WHERE id = ?",
    );
    this.#setEnds = db.prepare("UPDATE attempts SET ends = ? WHERE id = ?");
    this.#setEnded = db.prepare("UPDATE attempts SET ended = ?, to_position = ? WHERE id = ?");
    this.#insertReceipt = db.prepare("INSERT OR IGNORE INTO receipts (attempt, body, sig) VALUES (?, ?, ?)");
    this.#lastId = db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'attempts'");
  }

  /** The attempt's key here; undefined where (request, ordinal) is known already. */
  begin(begun: Begun): Promise<number | undefined> {
    return this.#writes.write(() => {
      const { changes, lastInsertRowid } = this.#insertAttempt.run(
        begun.request,
        begun.ordinal,
        begun.node,
        begun.boot,
        begun.ticket,
        begun.issuedAtMs,
        begun.begunAtMs,
        begun.weights,
        begun.from,
        begun.reasoning,
        begun.prompt,
        begun.cached,
      );
      return changes === 0 ? undefined : Number(lastInsertRowid);
    });
  }

  /** `counts` come along with the first progress. */
  progress(id: number, { from, to, reasoning, ids }: Progress, counts: Counts | undefined): Promise<void> {
    return this.#writes.write(() => {
      if (counts !== undefined)
        this.#setCounts.run(counts.prompt, counts.cached, counts.queueMs, counts.prefillMs, id);
      this.#insertProgress.run(id, from, to, reasoning, packIds(ids));
    });
  }

  /** How an answer in one piece will have ended, before it is written; `counts` where no progress has told them. */
  ends(id: number, ended: Ending, counts?: Counts): Promise<void> {
    return this.#writes.write(() => {
      if (counts !== undefined)
        this.#setCounts.run(counts.prompt, counts.cached, counts.queueMs, counts.prefillMs, id);
      this.#setEnds.run(ended, id);
    });
  }

  end(id: number, ended: Ending, to: number, receipt: Signed): Promise<void> {
    return this.#writes.write(() => {
      this.#setEnded.run(ended, to, id);
      this.#insertReceipt.run(id, receipt.body, receipt.sig);
    });
  }

  /** Asked once, at the start: whatever runs then died with an earlier process. */
  unfinished(): readonly Unfinished[] {
    const last = this.#db.prepare(
      "SELECT to_position, reasoning FROM progress WHERE attempt = ? ORDER BY from_position DESC LIMIT 1",
    );
    return this.#db
      .prepare("SELECT * FROM attempts WHERE ended IS NULL ORDER BY id")
      .all()
      .map((raw) => {
        const row = AttemptRow.parse(raw);
        const progress = LastRow.optional().parse(last.get(row.id));
        return {
          id: row.id,
          request: row.request,
          ordinal: row.ordinal,
          node: row.node,
          boot: row.boot,
          ticket: row.ticket,
          issuedAtMs: row.issued_at_ms,
          begunAtMs: row.begun_at_ms,
          weights: row.weights,
          from: row.from_position,
          to: progress?.to_position ?? row.from_position,
          reasoning: progress?.reasoning ?? row.reasoning,
          prompt: row.prompt,
          cached: row.cached,
          queueMs: row.queue_ms,
          prefillMs: row.prefill_ms,
          ends: row.ends ?? undefined,
        };
      });
  }

  /** Undefined where there is no such attempt. */
  read(name: AttemptName, from: number, to: number): JournalAnswer | undefined {
    const attempt = ReadRow.optional().parse(
      this.#db
        .prepare(
          "SELECT id, ended, to_position FROM attempts WHERE request = ? AND ordinal = ? AND choice = ?",
        )
        .get(name.request, name.ordinal, name.choice),
    );
    if (attempt === undefined) return undefined;
    // What was journalled and then not written, because the reader had left, was not handed over.
    const end = Math.min(to, attempt.to_position ?? to, from + JOURNAL_POSITIONS_MAX);
    const chunks = this.#db
      .prepare(
        `SELECT from_position, ids FROM progress WHERE attempt = ? AND from_position < ? AND to_position > ?
         ORDER BY from_position`,
      )
      .all(attempt.id, end, from);
    const tokens: number[] = [];
    let first: number | undefined;
    for (const raw of chunks) {
      const chunk = ChunkRow.parse(raw);
      const ids = unpackIds(chunk.ids);
      const start = Math.max(from, chunk.from_position);
      first ??= start;
      tokens.push(...ids.slice(start - chunk.from_position, end - chunk.from_position));
    }
    return {
      v: NEWEST,
      attempt: name,
      from: first ?? from,
      to: (first ?? from) + tokens.length,
      tokens,
      ...(attempt.ended === null ? {} : { ended: attempt.ended }),
    };
  }

  /** What ended, in the order in which it began, up to the first attempt that runs or is younger. */
  list(after: number, begunBeforeMs: number): Pick<JournalList, "attempts" | "more" | "lastId"> {
    const rows = this.#db
      .prepare(
        `SELECT a.id, request, ordinal, choice, ticket, begun_at_ms, ended, to_position,
           json_extract(r.body, '$.endedAtMs') AS ended_at_ms, settled_at_ms, rejected
         FROM attempts a LEFT JOIN receipts r ON r.attempt = a.id WHERE a.id > ? ORDER BY a.id LIMIT ?`,
      )
      .all(after, JOURNAL_LIST_MAX)
      .map((row) => ListRow.parse(row));
    const attempts: JournalList["attempts"] = [];
    for (const row of rows) {
      const { id, request, ordinal, choice, ticket, ended } = row;
      if (ended === null || row.begun_at_ms >= begunBeforeMs) break;
      const receipt =
        row.settled_at_ms === null ? "waiting" : row.rejected === null ? "acknowledged" : "rejected";
      attempts.push({
        id,
        attempt: { request, ordinal, choice },
        ticket,
        to: row.to_position ?? 0,
        ended,
        ...(row.ended_at_ms === null ? {} : { endedAtMs: row.ended_at_ms }),
        receipt,
      });
    }
    const last = LastIdRow.optional().parse(this.#lastId.get());
    return { attempts, more: attempts.length === JOURNAL_LIST_MAX, lastId: last?.seq ?? 0 };
  }

  close(): void {
    this.#writes.flush();
    this.#db.close();
  }
}
