/**
 * The tables of an account's object. Rows written are what an object costs, so: nothing that a request writes has a
 * secondary index, and what a request writes is its hold once, its share of the account's row and a small part of a
 * row of the log. hold-table.ts and event-log.ts say how; both keep something in the account's row, which is written once a turn.
 *
 * Owns no decisions. Called inside the turns of account-object.ts only; what a turn wrote is committed or undone whole, and
 * with it goes the memory that these tables have: after a turn that failed there is a new store.
 */
import { readCounters } from "./counters.ts";
import { EventLog } from "./event-log.ts";
import { HoldTable } from "./hold-table.ts";
import { KeyTable } from "./key-table.ts";
import { RepeatTable } from "./repeat-table.ts";
import { AccountRow, listed, type AccountState } from "./rows.ts";
import type { Sql } from "./sql.ts";

export class Store {
  readonly #sql: Sql;
  readonly keys: KeyTable;
  readonly holds: HoldTable;
  readonly log: EventLog;
  readonly repeats: RepeatTable;
  /** As it was at waking. */
  readonly account: AccountState | undefined;

  /** An event that D1 has is kept for at least `logKeepMs`. */
  constructor(sql: Sql, logKeepMs: number) {
    this.#sql = sql;
    const [row] = sql.read("SELECT * FROM account");
    const read = row === undefined ? undefined : AccountRow.parse(row);
    const { freeSlots = [], tail = "[]" } = read ?? {};
    const admissions = read === undefined ? 0 : readCounters(read.account.counters).admissions;
    this.account = read?.account;
    this.keys = new KeyTable(sql);
    this.holds = new HoldTable(sql, { freeSlots, admissions });
    this.log = new EventLog(sql, tail, logKeepMs);
    this.repeats = new RepeatTable(sql);
  }

  /** Whether the account's row has to be written, whatever else has changed. */
  get isChanged(): boolean {
    return this.holds.isChanged;
  }

  saveAccount(state: AccountState): void {
    this.#sql.write(
      `INSERT OR REPLACE INTO account (id, account, name, suspended, regions, upstreams, limits, cache_salt, balance_nano_usd,
        grants, counters, free_slots, tail, last_seq, applied_seq) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      state.account,
      state.name,
      state.suspended ? 1 : 0,
      listed(state.regions),
      state.upstreams,
      JSON.stringify(state.limits),
      state.cacheSalt,
      state.balanceNanoUsd,
      JSON.stringify(state.grants),
      state.counters,
      this.holds.print(),
      this.log.print(),
      state.lastSeq,
      state.appliedSeq,
    );
  }

  answerRules(): ReadonlyMap<string, string> {
    const rows = this.#sql.read<{ name: string; value: string }>("SELECT name, value FROM answers");
    return new Map(rows.map(({ name, value }) => [name, value]));
  }

  /** Null removes it. */
  saveAnswerRule(name: string, value: string | null): void {
    if (value === null) this.#sql.write("DELETE FROM answers WHERE name = ?", name);
    else this.#sql.write("INSERT OR REPLACE INTO answers VALUES (?, ?)", name, value);
  }

  dropAnswerRules(): void {
    this.#sql.write("DELETE FROM answers");
  }

  /** What a credit of this id said; null where an older build gave it, and undefined where nobody did. */
  creditTerms(id: string): string | null | undefined {
    const statement = "SELECT terms FROM credits LEFT JOIN credit_terms USING (id) WHERE id = ?";
    return this.#sql.read<{ terms: string | null }>(statement, id)[0]?.terms;
  }

  addCredit(id: string, terms: string): void {
    this.#sql.write("INSERT INTO credits VALUES (?)", id);
    this.#sql.write("INSERT OR REPLACE INTO credit_terms VALUES (?, ?)", id, terms);
  }
}
