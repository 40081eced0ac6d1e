/**
 * The log: what happened to the account's money, numbered without gaps, until D1 has it, and a while longer for words that
 * come late. With the event that ends a request goes its last state.
 *
 * An event is not a row of its own. The newest ones are in the account's row, which every turn that has events writes
 * anyway; when that tail has grown long enough it becomes one row of the log. And a row goes by being written over, as soon as
 * all its events may go: a delete is billed like a write. So a call a second costs a sixteenth of a row for its event, and a batch of
 * a hundred receipts costs one.
 *
 * Invariants: the log's rows, the tail and the turn's own events follow each other without a gap; nothing that D1 has not
 * confirmed, and nothing younger than `keepMs`, is written over or cut off. A turn that failed throws this away.
 */
import type { AccountEvent, UsageEvent } from "@sluice/protocol/account-log";
import { withoutSigned, withSigned, type Hold } from "./facts.ts";
import type { Sql } from "./sql.ts";

/** So long may the tail be. */
export const TAIL_EVENTS_MAX = 16;
const TAIL_CHARS_MAX = 32_000;
/** A row takes two megabytes. */
const ROW_EVENTS_MAX = 100;
const ROW_CHARS_MAX = 1_000_000;
/** How far back the log is searched for a request that is closed and forgotten. */
const RECALL_EVENTS_MAX = 20_000;
/** So many rows that nobody needs may lie and wait to be written over. */
export const SPARE_ROWS_MAX = 100;
/** Those beyond go in bites. */
const DROP_ROWS_MAX = 500;

/** Characters of events that stay in memory for the messages they will be in, four messages of them; twice as many before the oldest go. */
const RECENT_CHARS_MAX = 400_000;

/** An event as it is printed, once: into the tail, out of it into a row, and into a message. */
export type Printed = { readonly seq: number; readonly text: string };
type Kept = { readonly entry: Entry; readonly text: string; readonly event: Printed };

type Entry = {
  readonly event: AccountEvent;
  readonly atMs: number;
  /** The last state of a request that was forgotten with this event, less the signed receipts, which are in the event. */
  readonly facts: Hold | null;
};

export class EventLog {
  readonly #sql: Sql;
  readonly #keepMs: number;
  /** D1 has every event through here. */
  #confirmedSeq = 0;
  /** As it is in the account's row. */
  #tail: readonly Kept[];
  /** What this turn has to add. */
  #fresh: Kept[] = [];
  /** The newest events, without a gap, as far back as there is room. */
  #recent: Printed[] = [];
  #recentChars = 0;

  constructor(sql: Sql, tail: string, keepMs: number) {
    this.#sql = sql;
    this.#keepMs = keepMs;
    this.#tail = (JSON.parse(tail) as Entry[]).map(kept);
  }

  confirm(through: number): void {
    this.#confirmedSeq = Math.max(this.#confirmedSeq, through);
  }

  /** `forgotten` is the request's last state, where its row goes with this event. */
  append(event: AccountEvent, atMs: number, forgotten: Hold | null): void {
    const facts = forgotten === null ? null : withoutSigned(forgotten);
    const fresh = kept({ event, atMs, facts });
    this.#fresh.push(fresh);
    this.#recent.push(fresh.event);
    this.#recentChars += fresh.event.text.length;
    if (this.#recentChars > 2 * RECENT_CHARS_MAX) this.#forgetOldest();
  }

  /** Half of them at a time: one by one each would move all the others. */
  #forgetOldest(): void {
    let at = 0;
    for (; this.#recentChars > RECENT_CHARS_MAX; at++)
      this.#recentChars -= this.#recent[at]?.text.length ?? 0;
    this.#recent = this.#recent.slice(at);
  }

  /** Ends a turn: the tail for the account's row, which is written with it. */
  print(): string {
    const newest = this.#fresh.at(-1);
    if (newest !== undefined) {
      const needed = this.#tail.filter(({ entry }) => !this.#mayGo(entry, newest.entry.atMs));
      this.#tail = [...needed, ...this.#fresh];
      this.#fresh = [];
    }
    const chars = this.#tail.reduce((sum, { text }) => sum + text.length, 0);
    if (this.#tail.length > TAIL_EVENTS_MAX || chars > TAIL_CHARS_MAX) {
      for (const row of inRows(this.#tail)) this.#writeRow(row);
      this.#tail = [];
    }
    return listOf(this.#tail);
  }

  #mayGo({ event, atMs }: Entry, nowMs: number): boolean {
    return event.seq <= this.#confirmedSeq && atMs <= nowMs - this.#keepMs;
  }

  #writeRow(entries: readonly Kept[]): void {
    const last = entries.at(-1)?.entry;
    if (last === undefined) return;
    const events = entries.map(({ entry }) => entry.event);
    const requests = events.map((event) => (event.kind === "usage" ? event.request : "")).join(" ");
    const row = [last.event.seq, last.atMs, requests, listOf(entries)] as const;
    const written = this.#sql.write(
      `UPDATE log SET seq = ?1, at_ms = ?2, requests = ?3, entries = ?4
       WHERE seq = (SELECT min(seq) FROM log) AND seq <= ?5 AND at_ms <= ?6`,
      ...row,
      this.#confirmedSeq,
      last.atMs - this.#keepMs,
    );
    if (written === 0) this.#sql.write("INSERT INTO log VALUES (?, ?, ?, ?)", ...row);
  }

  /** As `after`, for a message. What was written just now is there as it was printed. */
  printedAfter(seq: number, max: number): readonly Printed[] {
    const oldest = this.#recent[0]?.seq ?? Number.POSITIVE_INFINITY;
    if (oldest <= seq + 1) return this.#recent.slice(seq + 1 - oldest, seq + 1 - oldest + max);
    return this.after(seq, max).map(printed);
  }

  /** In order. */
  after(seq: number, max: number): AccountEvent[] {
    const events: AccountEvent[] = [];
    const rows = this.#sql.each<LogRow>("SELECT entries FROM log WHERE seq > ? ORDER BY seq", seq);
    for (const entries of this.#stretches(rows))
      for (const { event } of entries) {
        if (event.seq > seq) events.push(event);
        if (events.length === max) return events;
      }
    return events;
  }

  *#stretches(rows: Iterable<LogRow>): Generator<readonly Entry[]> {
    for (const row of rows) yield entriesOf(row);
    yield this.#inMemory();
  }

  /** How many events lie beyond a number, and what they did to the balance. */
  moneyAfter(seq: number): { readonly count: number; readonly moneyNanoUsd: number } {
    const [{ count, moneyNanoUsd } = { count: 0, moneyNanoUsd: 0 }] = this.#sql.read<{
      count: number;
      moneyNanoUsd: number;
    }>(
      `SELECT count(*) AS count, coalesce(sum(CASE json_extract(e.value, '$.event.kind')
         WHEN 'credit' THEN json_extract(e.value, '$.event.amountNanoUsd')
         ELSE -json_extract(e.value, '$.event.chargedNanoUsd') END), 0) AS moneyNanoUsd
       FROM log, json_each(log.entries) AS e WHERE log.seq > ?1 AND json_extract(e.value, '$.event.seq') > ?1`,
      seq,
    );
    const newest = this.#inMemory().filter(({ event }) => event.seq > seq);
    return {
      count: count + newest.length,
      moneyNanoUsd: newest.reduce((sum, { event }) => sum + moneyOf(event), moneyNanoUsd),
    };
  }

  /** What the log last says of a request, where it still does. */
  newestOf(request: string, lastSeq: number): UsageEvent | undefined {
    const event = this.#newest(request, lastSeq)?.event;
    return event?.kind === "usage" ? event : undefined;
  }

  /** The last state of a request that closed a moment ago and has no row any more. */
  recall(request: string, lastSeq: number): Hold | undefined {
    const { event, facts = null } = this.#newest(request, lastSeq) ?? {};
    return facts === null || event?.kind !== "usage" ? undefined : withSigned(facts, event.attempts);
  }

  #newest(request: string, lastSeq: number): Entry | undefined {
    const isOf = ({ event }: Entry): boolean => event.kind === "usage" && event.request === request;
    const found = this.#inMemory().findLast(isOf);
    if (found !== undefined) return found;
    const [row] = this.#sql.read<LogRow>(
      "SELECT entries FROM log WHERE seq > ? AND instr(requests, ?) > 0 ORDER BY seq DESC LIMIT 1",
      lastSeq - RECALL_EVENTS_MAX,
      request,
    );
    return row === undefined ? undefined : entriesOf(row).findLast(isOf);
  }

  /** The newest entries, which are in no row of the log. */
  #inMemory(): readonly Entry[] {
    return [...this.#tail, ...this.#fresh].map(({ entry }) => entry);
  }

  /** Cuts a log that was longer once: where more rows lie and wait than may, the oldest go. */
  trim(nowMs: number): void {
    const [spare] = this.#sql.read<{ seq: number }>(
      "SELECT seq FROM log WHERE seq <= ? AND at_ms <= ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
      this.#confirmedSeq,
      nowMs - this.#keepMs,
      SPARE_ROWS_MAX,
    );
    if (spare === undefined) return;
    this.#sql.write(
      "DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE seq <= ? ORDER BY seq LIMIT ?)",
      spare.seq,
      DROP_ROWS_MAX,
    );
  }
}

type LogRow = { entries: string };

function printed(event: AccountEvent): Printed {
  return { seq: event.seq, text: JSON.stringify(event) };
}

function kept(entry: Entry): Kept {
  const event = printed(entry.event);
  const facts = JSON.stringify(entry.facts);
  return { entry, text: `{"event":${event.text},"atMs":${entry.atMs},"facts":${facts}}`, event };
}

function listOf(entries: readonly Kept[]): string {
  return `[${entries.map(({ text }) => text).join(",")}]`;
}

function entriesOf({ entries }: LogRow): readonly Entry[] {
  return JSON.parse(entries) as Entry[];
}

function moneyOf(event: AccountEvent): number {
  return event.kind === "credit" ? event.amountNanoUsd : -event.chargedNanoUsd;
}

/** As many in a row as it takes. */
function inRows(entries: readonly Kept[]): readonly (readonly Kept[])[] {
  const rows: Kept[][] = [];
  let chars = 0;
  for (const entry of entries) {
    const size = entry.text.length;
    const last = rows.at(-1);
    if (last === undefined || last.length === ROW_EVENTS_MAX || chars + size > ROW_CHARS_MAX) {
      rows.push([entry]);
      chars = size;
    } else {
      last.push(entry);
      chars += size;
    }
  }
  return rows;
}
