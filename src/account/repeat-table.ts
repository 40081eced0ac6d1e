/** Which request an `Idempotency-Key` stands for: repeats.ts says what it means. */
import type { Sql } from "./sql.ts";

export type Repeat = { readonly request: string; readonly body: string; readonly atMs: number };

const NOTHING = { rows: 0, upto: null, oldestLeftMs: null };

export class RepeatTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  get(name: string): Repeat | undefined {
    const statement = "SELECT request, body, at_ms AS atMs FROM repeats WHERE name = ?";
    return this.#sql.read<Repeat>(statement, name)[0];
  }

  save(name: string, { request, body, atMs }: Repeat): void {
    this.#sql.write("INSERT OR REPLACE INTO repeats VALUES (?, ?, ?, ?)", name, request, body, atMs);
  }

  drop(name: string, request: string): void {
    this.#sql.write("DELETE FROM repeats WHERE name = ? AND request = ?", name, request);
  }

  /** Removes what is older from the next rows beyond a name. `upto`: the last of these; null where there are no more. */
  sweep(
    after: string,
    beforeMs: number,
    max: number,
  ): { readonly upto: string | null; readonly oldestLeftMs: number | null } {
    const [{ rows, upto, oldestLeftMs } = NOTHING] = this.#sql.read<{
      rows: number;
      upto: string | null;
      oldestLeftMs: number | null;
    }>(
      `SELECT count(*) AS rows, max(name) AS upto, min(at_ms) FILTER (WHERE at_ms >= ?2) AS oldestLeftMs
       FROM (SELECT name, at_ms FROM repeats WHERE name > ?1 ORDER BY name LIMIT ?3)`,
      after,
      beforeMs,
      max,
    );
    if (upto !== null)
      this.#sql.write(
        "DELETE FROM repeats WHERE name > ? AND name <= ? AND at_ms < ?",
        after,
        upto,
        beforeMs,
      );
    return { upto: rows < max ? null : upto, oldestLeftMs };
  }
}
