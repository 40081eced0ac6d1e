/** The keys of an account, revoked ones included, and what those have used that have no room in the account's row. */
import type { KnownKey } from "./admission.ts";
import { KeyRow, listed, readKey } from "./rows.ts";
import type { Sql } from "./sql.ts";
import { UsedJson, type Used } from "./used.ts";

export class KeyTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  get(id: string): KnownKey | undefined {
    const [row] = this.#sql.read("SELECT * FROM keys WHERE id = ?", id);
    return row === undefined ? undefined : readKey(KeyRow.parse(row));
  }

  /** All but what it has used. */
  save(key: KnownKey): void {
    this.#sql.write(
      `INSERT INTO keys (id, name, secret_sha256, expires_at_ms, revoked_at_ms, models, regions, limits, scopes, made_by,
        last_four, old_sha256, old_until_ms, upstreams)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
       ON CONFLICT DO UPDATE SET name = ?2, secret_sha256 = ?3, expires_at_ms = ?4, revoked_at_ms = ?5, models = ?6,
        regions = ?7, limits = ?8, scopes = ?9, made_by = ?10, last_four = ?11, old_sha256 = ?12, old_until_ms = ?13,
        upstreams = ?14`,
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
      key.upstreams,
    );
  }

  /** Ids of the keys that a key made, that these made, and so on. Reads about as many as it finds. */
  below(id: string, max: number): string[] {
    return this.#sql
      .read<{ id: string }>(
        `WITH RECURSIVE below(id) AS (
           SELECT id FROM keys WHERE made_by = ?1 UNION ALL SELECT keys.id FROM below CROSS JOIN keys ON keys.made_by = below.id
         ) SELECT id FROM below LIMIT ?2`,
        id,
        max,
      )
      .map((row) => row.id);
  }

  used(id: string): Used | undefined {
    const [row] = this.#sql.read<{ used: string | null }>("SELECT used FROM keys WHERE id = ?", id);
    return row === undefined || row.used === null ? undefined : UsedJson.parse(JSON.parse(row.used));
  }

  saveUsed(id: string, used: Used): void {
    this.#sql.write("UPDATE keys SET used = ? WHERE id = ?", JSON.stringify(used), id);
  }

  revokeAll(nowMs: number): void {
    this.#sql.write("UPDATE keys SET revoked_at_ms = ? WHERE revoked_at_ms IS NULL", nowMs);
  }
}
