/**
 * The tables of an account's object: as they are made, and what brings those of an older build up to date. An object wakes
 * under whatever build is deployed, so this runs at every waking, and it says itself what is there. It adds tables and columns,
 * and moves what lies in tables that no build of today writes.
 *
 * A deployment may be rolled back, and forward again. An older build makes its own tables anew, and writes over the account's
 * row without the columns that it does not know. So whatever is moved may have been moved before, and a trigger in the
 * database, which works under any build, puts aside what that row alone had (SQL_KEEP).
 */

const SQL_SCHEMA = `
  CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    suspended INTEGER NOT NULL,
    regions TEXT,
    upstreams TEXT NOT NULL DEFAULT 'none',
    limits TEXT NOT NULL DEFAULT '{}',
    cache_salt TEXT NOT NULL,
    balance_nano_usd INTEGER NOT NULL,
    -- The granted part of the balance by its end, as JSON.
    grants TEXT NOT NULL DEFAULT '[]',
    -- What account and keys have used of their limits, as JSON.
    counters TEXT NOT NULL DEFAULT '{"admissions":0,"used":{}}',
    -- Slots that the next admissions are written over, as JSON; and the newest of the log.
    free_slots TEXT NOT NULL DEFAULT '[]',
    tail TEXT NOT NULL DEFAULT '[]',
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
    regions TEXT,
    upstreams TEXT NOT NULL DEFAULT 'any',
    limits TEXT NOT NULL DEFAULT '{}',
    scopes TEXT NOT NULL DEFAULT '["inference","usage"]',
    -- The key that made it.
    made_by TEXT,
    last_four TEXT NOT NULL DEFAULT '',
    -- The secret before the last rotation, and until when it still opens.
    old_sha256 TEXT,
    old_until_ms INTEGER,
    -- What it has used, where that is not in the account's row.
    used TEXT
  ) STRICT, WITHOUT ROWID;
  -- The holds. A row whose request is over lies there until the next is written over it: hold-table.ts.
  CREATE TABLE IF NOT EXISTS slots (
    slot INTEGER PRIMARY KEY,
    request TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    held_nano_usd INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    admission INTEGER NOT NULL,
    -- Everything else known of the request, as JSON.
    facts TEXT NOT NULL
  ) STRICT;
  -- Consecutive events: event-log.ts. The newest are in the account's row.
  CREATE TABLE IF NOT EXISTS log (
    -- Of the last of them.
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    -- Which requests they are about: searched where a word comes late.
    requests TEXT NOT NULL,
    entries TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS credits (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  -- Kind and amount of a credit. Not a column of credits: an older build could give none any more.
  CREATE TABLE IF NOT EXISTS credit_terms (id TEXT PRIMARY KEY, terms TEXT NOT NULL) STRICT, WITHOUT ROWID;
  -- Which request an Idempotency-Key stands for, for a day.
  CREATE TABLE IF NOT EXISTS repeats (
    name TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    body TEXT NOT NULL,
    at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- What is said of cached answers: settings of the account and its keys, and salts of models that were purged.
  CREATE TABLE IF NOT EXISTS answers (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`;

/** Columns that came later: table, name, declaration. Each has a default, because older rows have none. */
const ADDED: readonly (readonly [table: string, column: string, declaration: string])[] = [
  ["account", "grants", "TEXT NOT NULL DEFAULT '[]'"],
  ["account", "counters", `TEXT NOT NULL DEFAULT '{"admissions":0,"used":{}}'`],
  ["account", "free_slots", "TEXT NOT NULL DEFAULT '[]'"],
  ["account", "tail", "TEXT NOT NULL DEFAULT '[]'"],
  ["account", "limits", "TEXT NOT NULL DEFAULT '{}'"],
  ["account", "upstreams", "TEXT NOT NULL DEFAULT 'none'"],
  ["keys", "limits", "TEXT NOT NULL DEFAULT '{}'"],
  ["keys", "regions", "TEXT"],
  ["keys", "upstreams", "TEXT NOT NULL DEFAULT 'any'"],
  ["keys", "scopes", `TEXT NOT NULL DEFAULT '["inference","usage"]'`],
  ["keys", "made_by", "TEXT"],
  ["keys", "last_four", "TEXT NOT NULL DEFAULT ''"],
  ["keys", "old_sha256", "TEXT"],
  ["keys", "old_until_ms", "INTEGER"],
  ["keys", "used", "TEXT"],
];

/** After the columns. Of made keys alone: an operator's cost no row more. */
const SQL_INDEX = "CREATE INDEX IF NOT EXISTS keys_made_by ON keys (made_by) WHERE made_by IS NOT NULL";

/**
 * A build that knows neither slots nor a tail writes the account's row, and so empties both: the tail becomes a row of the
 * log, and the rows of free slots go, so that nobody takes them for holds. A build that knows them empties both at once only
 * where the log has the tail already, and no slot is left that the row before called free and whose admission it counted.
 */
const SQL_KEEP = `
  CREATE TRIGGER IF NOT EXISTS keep BEFORE INSERT ON account WHEN NEW.tail = '[]' AND NEW.free_slots = '[]' BEGIN
    INSERT INTO log
      SELECT json_extract(tail, '$[#-1].event.seq'), json_extract(tail, '$[#-1].atMs'),
        (SELECT group_concat(coalesce(json_extract(value, '$.event.request'), ''), ' ') FROM json_each(tail)), tail
      FROM account
      WHERE json_extract(tail, '$[#-1].event.seq') > (SELECT coalesce(max(seq), 0) FROM log);
    DELETE FROM slots WHERE admission <= (SELECT json_extract(counters, '$.admissions') FROM account)
      AND slot IN (SELECT value FROM account, json_each(free_slots));
  END`;

/** Makes what is missing. Reads a handful of rows, and writes only where something is. */
export function prepareTables(sql: SqlStorage): void {
  sql.exec(SQL_SCHEMA);
  const known = new Map(["account", "keys"].map((table) => [table, columnsOf(sql, table)]));
  for (const [table, column, declaration] of ADDED)
    if (known.get(table)?.has(column) === false)
      sql.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${declaration}`);
  sql.exec(SQL_INDEX);
  sql.exec(SQL_KEEP);
  for (const [table, columns] of known) if (columns.has("requests_per_minute")) joinLimits(sql, table);
  if (columnsOf(sql, "holds").size > 0) moveHolds(sql);
  if (columnsOf(sql, "events").size > 0) moveEvents(sql);
}

/** Holds once had no slots, and went by being deleted. There may be slots already: see the top. */
function moveHolds(sql: SqlStorage): void {
  sql.exec(
    `INSERT INTO slots SELECT (SELECT coalesce(max(slot), 0) FROM slots) + row_number() OVER (ORDER BY request), request, key,
       state, held_nano_usd, due_at_ms, coalesce(json_extract(facts, '$.admission'), 0), facts
     FROM holds WHERE request NOT IN (SELECT request FROM slots)`,
  );
  sql.exec("DROP TABLE holds");
}

/** Each event once had a row. */
function moveEvents(sql: SqlStorage): void {
  sql.exec(
    `INSERT OR IGNORE INTO log SELECT seq, at_ms, coalesce(request, ''),
       json_array(json_object('event', json(event), 'atMs', at_ms, 'facts', json(facts))) FROM events`,
  );
  sql.exec("DROP TABLE events");
}

/** Two limits once had columns of their own. */
function joinLimits(sql: SqlStorage, table: string): void {
  sql.exec(
    `UPDATE ${table} SET limits = json_object('requestsPerMinute', requests_per_minute, 'concurrency', concurrency)`,
  );
  for (const column of ["requests_per_minute", "concurrency"])
    sql.exec(`ALTER TABLE ${table} DROP COLUMN ${column}`);
}

function columnsOf(sql: SqlStorage, table: string): ReadonlySet<string> {
  const rows = sql.exec<{ name: string }>(`PRAGMA table_info(${table})`).toArray();
  return new Set(rows.map(({ name }) => name));
}
