/**
 * The requests that are not over: a row each, in a slot that is used again. A delete is billed like a write, so a hold goes
 * without one: its slot is free from then on, and the next admission is written over it. One row for a coming and a going.
 *
 * Which slots are free is said in the account's row, which every closing writes anyway. An admission takes one and does not
 * write that row; so the row alone may name a slot that is in use again, and the number of the admission decides:
 *
 *     A slot is free where the account's row says so and its hold's admission is counted in that row.
 *
 * A hold that was over when the row was written is counted in it; one that came into the slot afterwards has a higher
 * number. Two rules keep this true: a turn that frees a slot writes the account's row (`isChanged`), and only an admission takes a
 * free slot: a request that is opened again has an old number, and gets a slot that no row ever called free.
 *
 * Owns no decisions. Memory knows the slot of every request, and of the requests written last all that their rows say: a receipt
 * mostly comes seconds after the admission, and reads nothing then. A turn that failed throws this away.
 */
import type { Hold } from "./facts.ts";
import { holdColumns, HoldRow, readHold } from "./rows.ts";
import type { Sql } from "./sql.ts";

/** More are not remembered in the account's row: a hold beyond them is deleted. */
export const FREE_SLOTS_MAX = 1_000;

/** Holds in memory, about a kilobyte each. Beyond it the one written longest ago is read again where it is needed. */
const REMEMBERED_MAX = 4_096;

export class HoldTable {
  readonly #sql: Sql;
  readonly #slots = new Map<string, number>();
  /** As their rows are. */
  readonly #written = new Map<string, Hold>();
  readonly #free: number[] = [];
  /** No row has it, nor any beyond. */
  #next = 1;
  #isChanged = false;

  /** As the account's row has it: the slots it calls free, and the number of the last admission it counts. */
  constructor(sql: Sql, said: { readonly freeSlots: readonly number[]; readonly admissions: number }) {
    this.#sql = sql;
    const free = new Set(said.freeSlots);
    const rows = sql.read<{ slot: number; request: string; admission: number }>(
      "SELECT slot, request, admission FROM slots",
    );
    for (const { slot, request, admission } of rows) {
      if (free.has(slot) && admission <= said.admissions) this.#free.push(slot);
      else this.#slots.set(request, slot);
      this.#next = Math.max(this.#next, slot + 1);
    }
  }

  /** Whether slots were freed that the account's row does not know of. */
  get isChanged(): boolean {
    return this.#isChanged;
  }

  has(request: string): boolean {
    return this.#slots.has(request);
  }

  get(request: string): Hold | undefined {
    const slot = this.#slots.get(request);
    if (slot === undefined) return undefined;
    const written = this.#written.get(request);
    if (written !== undefined) return written;
    const [row] = this.#sql.read("SELECT * FROM slots WHERE slot = ?", slot);
    return readHold(HoldRow.parse(row));
  }

  /** A request that was just admitted, and has the highest number of all. */
  add(hold: Hold): void {
    const slot = this.#free.pop() ?? this.#next++;
    this.#slots.set(hold.request, slot);
    this.#write(slot, hold);
  }

  /** A request that is known; or one that is opened again. */
  save(hold: Hold): void {
    const slot = this.#slots.get(hold.request) ?? this.#next++;
    this.#slots.set(hold.request, slot);
    this.#write(slot, hold);
  }

  #write(slot: number, hold: Hold): void {
    const { request, key, state, heldNanoUsd, dueAtMs, admission, facts } = holdColumns(hold);
    this.#sql.write(
      `INSERT INTO slots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET
        request = ?2, key = ?3, state = ?4, held_nano_usd = ?5, due_at_ms = ?6, admission = ?7, facts = ?8`,
      slot,
      request,
      key,
      state,
      heldNanoUsd,
      dueAtMs,
      admission,
      facts,
    );
    this.#written.delete(request);
    this.#written.set(request, hold);
    if (this.#written.size <= REMEMBERED_MAX) return;
    for (const longestAgo of this.#written.keys()) return void this.#written.delete(longestAgo);
  }

  /** It is over: nothing more is known of it than the log says. */
  free(request: string): void {
    const slot = this.#slots.get(request);
    if (slot === undefined) return;
    this.#slots.delete(request);
    this.#written.delete(request);
    if (this.#free.length < FREE_SLOTS_MAX) this.#free.push(slot);
    else this.#sql.write("DELETE FROM slots WHERE slot = ?", slot);
    this.#isChanged = true;
  }

  /** For the account's row, which is written with it. */
  print(): string {
    this.#isChanged = false;
    return JSON.stringify(this.#free);
  }

  due(nowMs: number, max: number): Hold[] {
    return this.#holds("due_at_ms <= ?2 ORDER BY due_at_ms LIMIT ?3", nowMs, max);
  }

  /** Those that are not closed. */
  open(): Hold[] {
    return this.#holds("state <> 'closed'");
  }

  #holds(condition: string, ...values: number[]): Hold[] {
    return this.#sql
      .read(`SELECT * FROM slots WHERE ${IN_USE} AND ${condition}`, JSON.stringify(this.#free), ...values)
      .map((row) => readHold(HoldRow.parse(row)));
  }

  nextDueMs(): number | null {
    const statement = `SELECT min(due_at_ms) AS due FROM slots WHERE ${IN_USE}`;
    return this.#sql.read<{ due: number | null }>(statement, JSON.stringify(this.#free))[0]?.due ?? null;
  }

  count(): { readonly open: number; readonly waiting: number } {
    const [counted] = this.#sql.read<{ open: number; waiting: number }>(
      `SELECT count(*) FILTER (WHERE state = 'open') AS open,
              count(*) FILTER (WHERE state IN ('ended', 'pending')) AS waiting FROM slots WHERE ${IN_USE}`,
      JSON.stringify(this.#free),
    );
    return counted ?? { open: 0, waiting: 0 };
  }
}

/** The free slots are the first value. */
const IN_USE = "slot NOT IN (SELECT value FROM json_each(?1))";
