/**
 * The journal's tables: what was begun, what was made, what was said of it. One file per data directory, owned by one
 * process (the lock file is SQLite's own, taken exclusively).
 *
 * WAL without a sync per commit: a commit survives the death of the process, not the loss of power; SQLite still syncs
 * at checkpoints, so that a loss of power costs the last moments and never the file. Token ids are kept because a
 * failover may ask for them; no text ever is.
 */
import { closeSync, openSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { Log } from "../log.ts";

const SCHEMA_VERSION = 3;
/** Pages; a checkpoint is the one moment at which a write waits for the disk. */
const CHECKPOINT_PAGES = 4_000;

const SQL_SCHEMA = `
  CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS attempts (
    -- Never used again, also when all attempts have been forgotten: an edge goes on behind the last it has seen.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    choice INTEGER NOT NULL,
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    ticket TEXT NOT NULL,
    issued_at_ms INTEGER NOT NULL,
    begun_at_ms INTEGER NOT NULL,
    weights TEXT NOT NULL,
    from_position INTEGER NOT NULL,
    -- What earlier attempts had thought; the progress table says what this one added.
    reasoning INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    queue_ms INTEGER NOT NULL,
    prefill_ms INTEGER NOT NULL,
    -- Whether a beat that named it has been acknowledged.
    named INTEGER NOT NULL DEFAULT 0,
    -- Null while it runs.
    ended TEXT,
    to_position INTEGER,
    -- How an answer in one piece ends, kept before it is written: if the process dies in between, its receipt says so.
    ends TEXT,
    UNIQUE (request, ordinal, choice)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS attempts_unnamed ON attempts (issued_at_ms) WHERE named = 0;
  CREATE INDEX IF NOT EXISTS attempts_running ON attempts (id) WHERE ended IS NULL;

  CREATE TABLE IF NOT EXISTS progress (
    attempt INTEGER NOT NULL,
    from_position INTEGER NOT NULL,
    to_position INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    -- One little-endian 32-bit number per position.
    ids BLOB NOT NULL,
    PRIMARY KEY (attempt, from_position)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS receipts (
    attempt INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    sig TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    -- By this machine's clock; a receipt that was sent in vain waits.
    send_after_ms INTEGER NOT NULL DEFAULT 0,
    -- Acknowledged or rejected; null while it has to be sent.
    settled_at_ms INTEGER,
    rejected TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS receipts_due ON receipts (send_after_ms) WHERE settled_at_ms IS NULL;
  CREATE INDEX IF NOT EXISTS receipts_old ON receipts (settled_at_ms) WHERE settled_at_ms IS NOT NULL;
`;

/** Opens or makes the journal. Throws where the file belongs to a newer release or to a process that still runs. */
export function openDatabase(path: string, log: Log = () => undefined): DatabaseSync {
  // Made by us first: SQLite gives its companion files the rights of this one, from their first byte.
  closeSync(openSync(path, "a", 0o600));
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
  } catch (cause) {
    throw new Error(`the journal ${path} cannot be opened; perhaps another process has it`, { cause });
  }
  db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};`);
  const version = Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (version > SCHEMA_VERSION)
    throw new Error(`the journal is of version ${version}; this release reads up to ${SCHEMA_VERSION}`);
  // Together: a process that dies here leaves the journal as it was.
  db.exec("BEGIN IMMEDIATE;");
  if (version > 0 && version < SCHEMA_VERSION) {
    // Of a large one this takes a while, in which nothing else happens: 7 s and as much disk again for a million attempts (1 GiB).
    log("journal_migrating", { from: version, to: SCHEMA_VERSION, bytes: statSync(path).size });
    const startedAtMs = performance.now();
    bringUpToDate(db, version);
    log("journal_migrated", { ms: Math.round(performance.now() - startedAtMs) });
  }
  db.exec(`${SQL_SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`);
  return db;
}

/** What a file of an earlier version lacks. The rest of the schema, indexes included, is made afterwards. */
function bringUpToDate(db: DatabaseSync, version: number): void {
  if (version < 2) db.exec("ALTER TABLE attempts ADD COLUMN ends TEXT;");
  // A table cannot be told later that its ids are never used again: it is made anew, with its columns in the same order.
  if (version < 3)
    db.exec(`
      ALTER TABLE attempts RENAME TO attempts_before;
      ${SQL_SCHEMA}
      INSERT INTO attempts SELECT * FROM attempts_before;
      DROP TABLE attempts_before;
    `);
}
