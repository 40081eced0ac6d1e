/**
 * The tables of an account's object, and every statement on them. Rows written are what an object costs, so: nothing
 * that a request writes has a secondary index, tables keyed by text are without rowid, and an ordinary request writes its hold twice (in, out),
 * its event once and its share of the account's one row.
 *
 * The surprising choice: an event goes by being written over. A delete is billed like a write, so the oldest event that
 * nobody needs any more makes room for the newest: one row, where a delete and an insert would be two.
 *
 * Owns no decisions. Called inside the turns of account-object.ts only; what a turn wrote is committed or undone whole.
 */
import type { AccountEvent, UsageEvent } from "@sluice/protocol/account-log";
import type { KnownKey } from "./admission.ts";
import type { Hold } from "./facts.ts";
import { AccountRow, holdColumns, HoldRow, KeyRow, readHold, readKey, type AccountState } from "./rows.ts";
import { prepareTables } from "./tables.ts";
import { UsedJson, type Used } from "./used.ts";

/** How far back the log is searched for a request that is closed and forgotten. */
const RECALL_EVENTS_MAX = 20_000;
/** So many events that nobody needs may lie and wait to be written over. */
const SPARE_EVENTS_MAX = 1_000;
/** Those beyond go in bites of this size, at most so many at once. */
const DROP_BITE = 100;
const DROP_BITES_MAX = 50;

export type StoredEvent = { readonly seq: number; readonly text: string };

/** What an `Idempotency-Key` stands for. */
export type Repeat = { readonly request: string; readonly body: string; readonly atMs: number };

export class Store {
  readonly #sql: SqlStorage;
  readonly #logKeepMs: number;
  /** D1 has every event through here. */
  #confirmedSeq = 0;
  /** Since the object woke: what the tests of cost read. */
  rowsWritten = 0;

  /** An event that D1 has is kept for at least this long. */
  constructor(sql: SqlStorage, logKeepMs: number) {
    this.#sql = sql;
    this.#logKeepMs = logKeepMs;
    prepareTables(sql);
  }

  #write(statement: string, ...values: (string | number | null)[]): number {
    const cursor = this.#sql.exec(statement, ...values);
    cursor.toArray();
    this.rowsWritten += cursor.rowsWritten;
    return cursor.rowsWritten;
  }

  account(): AccountState | undefined {
    const [row] = this.#sql.exec("SELECT * FROM account").toArray();
    return row === undefined ? undefined : AccountRow.parse(row);
  }

  saveAccount(state: AccountState): void {
    this.#write(
      `INSERT OR REPLACE INTO account (id, account, name, suspended, regions, upstreams, limits, cache_salt, balance_nano_usd,
        grants, counters, last_seq, applied_seq) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
      state.lastSeq,
      state.appliedSeq,
    );
  }

  key(id: string): KnownKey | undefined {
    const [row] = this.#sql.exec("SELECT * FROM keys WHERE id = ?", id).toArray();
    return row === undefined ? undefined : readKey(KeyRow.parse(row));
  }

  /** All but what it has used. */
  saveKey(key: KnownKey): void {
    this.#write(
      `INSERT INTO keys (id, name, secret_sha256, expires_at_ms, revoked_at_ms, models, regions, limits, scopes, made_by,
        last_four, old_sha256, old_until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
       ON CONFLICT DO UPDATE SET name = ?2, secret_sha256 = ?3, expires_at_ms = ?4, revoked_at_ms = ?5, models = ?6,
        regions = ?7, limits = ?8, scopes = ?9, made_by = ?10, last_four = ?11, old_sha256 = ?12, old_until_ms = ?13`,
      key.id,
      key.name,
      key.secretSha256,
      key.expiresAtMs,
      key.revokedAtMs,
      listed(key.models),
      listed(key.regions),
      JSON.stringify(key.limits),
      JSON.stringify(key.scopes),
      key.madeBy,
      key.lastFour,
      key.old?.secretSha256 ?? null,
      key.old?.untilMs ?? null,
    );
  }

  /** Ids of the keys that a key made, that these made, and so on. Reads about as many as it finds. */
  keysBelow(id: string, max: number): string[] {
    return this.#sql
      .exec<{ id: string }>(
        `WITH RECURSIVE below(id) AS (
           SELECT id FROM keys WHERE made_by = ?1 UNION ALL SELECT keys.id FROM below CROSS JOIN keys ON keys.made_by = below.id
         ) SELECT id FROM below LIMIT ?2`,
        id,
        max,
      )
      .toArray()
      .map((row) => row.id);
  }

  keyUsed(id: string): Used | undefined {
    const [row] = this.#sql.exec<{ used: string | null }>("SELECT used FROM keys WHERE id = ?", id).toArray();
    return row === undefined || row.used === null ? undefined : UsedJson.parse(JSON.parse(row.used));
  }

  saveKeyUsed(id: string, used: Used): void {
    this.#write("UPDATE keys SET used = ? WHERE id = ?", JSON.stringify(used), id);
  }

  revokeKeys(nowMs: number): void {
    this.#write("UPDATE keys SET revoked_at_ms = ? WHERE revoked_at_ms IS NULL", nowMs);
  }

  hold(request: string): Hold | undefined {
    const [row] = this.#sql.exec("SELECT * FROM holds WHERE request = ?", request).toArray();
    return row === undefined ? undefined : readHold(HoldRow.parse(row));
  }

  saveHold(hold: Hold): void {
    const { request, key, state, heldNanoUsd, dueAtMs, facts } = holdColumns(hold);
    this.#write(
      `INSERT INTO holds VALUES (?1, ?2, ?3, ?4, ?5, ?6)
       ON CONFLICT DO UPDATE SET state = ?3, held_nano_usd = ?4, due_at_ms = ?5, facts = ?6`,
      request,
      key,
      state,
      heldNanoUsd,
      dueAtMs,
      facts,
    );
  }

  dropHold(request: string): void {
    this.#write("DELETE FROM holds WHERE request = ?", request);
  }

  dueHolds(nowMs: number, max: number): Hold[] {
    return this.#sql
      .exec("SELECT * FROM holds WHERE due_at_ms <= ? ORDER BY due_at_ms LIMIT ?", nowMs, max)
      .toArray()
      .map((row) => readHold(HoldRow.parse(row)));
  }

  nextDueMs(): number | null {
    const row = this.#sql.exec<{ due: number | null }>("SELECT min(due_at_ms) AS due FROM holds").one();
    return row.due;
  }

  /** Those that are not closed. */
  openHolds(): Hold[] {
    return this.#sql
      .exec("SELECT * FROM holds WHERE state <> 'closed'")
      .toArray()
      .map((row) => readHold(HoldRow.parse(row)));
  }

  countHolds(): { readonly open: number; readonly waiting: number } {
    return this.#sql
      .exec<{ open: number; waiting: number }>(
        `SELECT count(*) FILTER (WHERE state = 'open') AS open,
                count(*) FILTER (WHERE state IN ('ended', 'pending')) AS waiting FROM holds`,
      )
      .one();
  }

  confirm(through: number): void {
    this.#confirmedSeq = Math.max(this.#confirmedSeq, through);
  }

  /** `forgotten` is the request's last state, where its row goes with this event. */
  appendEvent(event: AccountEvent, atMs: number, forgotten: Hold | null): void {
    const row = [
      event.seq,
      atMs,
      event.kind === "usage" ? event.request : null,
      JSON.stringify(event),
      forgotten === null ? null : JSON.stringify(forgotten),
    ] as const;
    const written = this.#write(
      `UPDATE events SET seq = ?1, at_ms = ?2, request = ?3, event = ?4, facts = ?5
       WHERE seq = (SELECT min(seq) FROM events) AND seq <= ?6 AND at_ms <= ?7`,
      ...row,
      this.#confirmedSeq,
      atMs - this.#logKeepMs,
    );
    if (written === 0) this.#write("INSERT INTO events VALUES (?, ?, ?, ?, ?)", ...row);
  }

  eventsAfter(seq: number, max: number): StoredEvent[] {
    return this.#sql
      .exec<{ seq: number; text: string }>(
        "SELECT seq, event AS text FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
        seq,
        max,
      )
      .toArray();
  }

  /** How many events lie beyond a number, and what they did to the balance. */
  moneyAfter(seq: number): { readonly count: number; readonly moneyNanoUsd: number } {
    return this.#sql
      .exec<{ count: number; moneyNanoUsd: number }>(
        `SELECT count(*) AS count, coalesce(sum(CASE json_extract(event, '$.kind')
           WHEN 'credit' THEN json_extract(event, '$.amountNanoUsd')
           ELSE -json_extract(event, '$.chargedNanoUsd') END), 0) AS moneyNanoUsd FROM events WHERE seq > ?`,
        seq,
      )
      .one();
  }

  /** What the log last says of a request, where it still does. */
  newestOf(request: string, lastSeq: number): UsageEvent | undefined {
    const [row] = this.#sql
      .exec<{ event: string }>(
        "SELECT event FROM events WHERE seq > ? AND request = ? ORDER BY seq DESC LIMIT 1",
        lastSeq - RECALL_EVENTS_MAX,
        request,
      )
      .toArray();
    return row === undefined ? undefined : (JSON.parse(row.event) as UsageEvent);
  }

  /** The last state of a request that closed a moment ago and has no row any more. */
  recall(request: string, lastSeq: number): Hold | undefined {
    const [row] = this.#sql
      .exec<{ facts: string | null }>(
        "SELECT facts FROM events WHERE seq > ? AND request = ? ORDER BY seq DESC LIMIT 1",
        lastSeq - RECALL_EVENTS_MAX,
        request,
      )
      .toArray();
    return row === undefined || row.facts === null ? undefined : (JSON.parse(row.facts) as Hold);
  }

  /** Cuts a log that was longer once: where more lie and wait than may, the oldest go. Numbers have no gaps. */
  dropEvents(nowMs: number): void {
    for (let bite = 0; bite < DROP_BITES_MAX; bite++) {
      const [spare] = this.#sql
        .exec<{ seq: number }>(
          `SELECT seq FROM events
           WHERE seq = (SELECT min(seq) FROM events) + ? AND seq <= ? AND at_ms <= ?`,
          SPARE_EVENTS_MAX,
          this.#confirmedSeq,
          nowMs - this.#logKeepMs,
        )
        .toArray();
      if (spare === undefined) return;
      this.#write("DELETE FROM events WHERE seq < ?", spare.seq - SPARE_EVENTS_MAX + DROP_BITE);
    }
  }

  repeat(name: string): Repeat | undefined {
    const [row] = this.#sql
      .exec<Repeat>("SELECT request, body, at_ms AS atMs FROM repeats WHERE name = ?", name)
      .toArray();
    return row;
  }

  saveRepeat(name: string, { request, body, atMs }: Repeat): void {
    this.#write("INSERT OR REPLACE INTO repeats VALUES (?, ?, ?, ?)", name, request, body, atMs);
  }

  dropRepeat(name: string, request: string): void {
    this.#write("DELETE FROM repeats WHERE name = ? AND request = ?", name, request);
  }

  /** Removes what is older from the next rows beyond a name. `upto`: the last of these; null where there are no more. */
  sweepRepeats(
    after: string,
    beforeMs: number,
    max: number,
  ): { readonly upto: string | null; readonly oldestLeftMs: number | null } {
    const { rows, upto, oldestLeftMs } = this.#sql
      .exec<{ rows: number; upto: string | null; oldestLeftMs: number | null }>(
        `SELECT count(*) AS rows, max(name) AS upto, min(at_ms) FILTER (WHERE at_ms >= ?2) AS oldestLeftMs
         FROM (SELECT name, at_ms FROM repeats WHERE name > ?1 ORDER BY name LIMIT ?3)`,
        after,
        beforeMs,
        max,
      )
      .one();
    if (upto !== null)
      this.#write("DELETE FROM repeats WHERE name > ? AND name <= ? AND at_ms < ?", after, upto, beforeMs);
    return { upto: rows < max ? null : upto, oldestLeftMs };
  }

  answerRules(): ReadonlyMap<string, string> {
    const rows = this.#sql.exec<{ name: string; value: string }>("SELECT name, value FROM answers").toArray();
    return new Map(rows.map(({ name, value }) => [name, value]));
  }

  /** Null removes it. */
  saveAnswerRule(name: string, value: string | null): void {
    if (value === null) this.#write("DELETE FROM answers WHERE name = ?", name);
    else this.#write("INSERT OR REPLACE INTO answers VALUES (?, ?)", name, value);
  }

  dropAnswerRules(): void {
    this.#write("DELETE FROM answers");
  }

  /** False where this credit was given before. */
  addCredit(id: string): boolean {
    return this.#write("INSERT INTO credits VALUES (?) ON CONFLICT DO NOTHING", id) > 0;
  }
}

function listed(names: readonly string[] | null): string | null {
  return names === null ? null : JSON.stringify(names);
}
