/**
 * The tables of an account's object: as they are made, and what brings those of an older build up to date. An object wakes
 * under whatever build is deployed, so this runs at every waking: it only ever adds, and it says itself what is there.
 */

const SQL_SCHEMA = `
  CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    suspended INTEGER NOT NULL,
    regions TEXT,
    requests_per_minute INTEGER,
    concurrency INTEGER,
    cache_salt TEXT NOT NULL,
    balance_nano_usd INTEGER NOT NULL,
    -- The granted part of the balance by its end, as JSON.
    grants TEXT NOT NULL DEFAULT '[]',
    -- The number of the newest event, and how far D1 has confirmed them.
    last_seq INTEGER NOT NULL,
    applied_seq INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    expires_at_ms INTEGER,
    revoked_at_ms INTEGER,
    models TEXT,
    requests_per_minute INTEGER,
    concurrency INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS holds (
    request TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    held_nano_usd INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    -- Everything else known of the request, as JSON.
    facts TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    -- Null for an event that is not about a request.
    request TEXT,
    event TEXT NOT NULL,
    -- The facts of a request that was forgotten with this event, for a word that comes late.
    facts TEXT
  ) STRICT;
  CREATE TABLE IF NOT EXISTS credits (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  -- What is said of cached answers: settings of the account and its keys, and salts of models that were purged.
  CREATE TABLE IF NOT EXISTS answers (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`;

/** Columns that came later: table, name, declaration. Each has a default, because older rows have none. */
const ADDED: readonly (readonly [table: string, column: string, declaration: string])[] = [
  ["account", "grants", "TEXT NOT NULL DEFAULT '[]'"],
];

/** Makes what is missing. Reads a handful of rows, and writes only where something is. */
export function prepareTables(sql: SqlStorage): void {
  sql.exec(SQL_SCHEMA);
  for (const [table, column, declaration] of ADDED)
    if (!columnsOf(sql, table).has(column))
      sql.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${declaration}`);
}

function columnsOf(sql: SqlStorage, table: string): ReadonlySet<string> {
  const rows = sql.exec<{ name: string }>(`PRAGMA table_info(${table})`).toArray();
  return new Set(rows.map(({ name }) => name));
}
