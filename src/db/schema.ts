/**
 * The tables of D1. Drizzle's kit makes `migrations/` from this file; nobody edits those by hand.
 * D1 owns the catalogue, the registry of nodes and the history of usage and money; of accounts and keys it has lists
 * (their truth is in the account's object). Rows written are what D1 costs: every secondary index is one more row per
 * insert, so the two big tables have none and are keyed the way they are read. docs/STORAGE.md tells each table's story.
 */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const accounts = sqliteTable("accounts", {
  id: text().primaryKey(),
  name: text().notNull(),
  createdAtMs: integer().notNull(),
});

export const keys = sqliteTable("keys", {
  id: text().primaryKey(),
  account: text().notNull(),
  name: text().notNull(),
  /** The last four characters of the key, for telling keys apart in a list. */
  lastFour: text().notNull(),
  createdAtMs: integer().notNull(),
  revokedAtMs: integer(),
});

export const models = sqliteTable("models", {
  id: text().primaryKey(),
  contextTokens: integer().notNull(),
  outputTokensDefault: integer().notNull(),
  ownedBy: text().notNull(),
  createdS: integer().notNull(),
  thinkingDefault: integer({ mode: "boolean" }).notNull(),
});

export const aliases = sqliteTable("aliases", {
  alias: text().primaryKey(),
  model: text().notNull(),
  thinkingDefault: integer({ mode: "boolean" }).notNull(),
});

/** Append-only: a new price is a new row with a later `effectiveFromMs`. Micro-dollars per million tokens. */
export const prices = sqliteTable("prices", {
  id: text().primaryKey(),
  model: text().notNull(),
  inputMicroUsdPerM: integer().notNull(),
  cachedMicroUsdPerM: integer().notNull(),
  outputMicroUsdPerM: integer().notNull(),
  /** Of an answer out of the cache. */
  hitInputMicroUsdPerM: integer().notNull().default(0),
  hitOutputMicroUsdPerM: integer().notNull().default(0),
  effectiveFromMs: integer().notNull(),
});

export const nodes = sqliteTable("nodes", {
  id: text().primaryKey(),
  name: text().notNull(),
  region: text().notNull(),
  url: text().notNull(),
  publicKey: text().notNull(),
  createdAtMs: integer().notNull(),
  removedAtMs: integer(),
});

/** One-time: a token is taken by the first public key that shows it, and gives that key the same answer again. */
export const joinTokens = sqliteTable("join_tokens", {
  tokenSha256: text().primaryKey(),
  name: text().notNull(),
  region: text().notNull(),
  url: text().notNull(),
  expiresAtMs: integer().notNull(),
  node: text(),
  publicKey: text(),
});

/** Every revision of every request's usage; the highest revision is the one that holds. Without rowid. */
export const usageEvents = sqliteTable(
  "usage_events",
  {
    account: text().notNull(),
    request: text().notNull(),
    revision: integer().notNull(),
    seq: integer().notNull(),
    key: text().notNull(),
    model: text().notNull(),
    stream: integer({ mode: "boolean" }).notNull(),
    certainty: text().notNull(),
    ended: text().notNull(),
    promptTokens: integer().notNull(),
    cachedTokens: integer().notNull(),
    completionTokens: integer().notNull(),
    reasoningTokens: integer().notNull(),
    costNanoUsd: integer().notNull(),
    /** What this revision took from the balance: the ledger's entries are sums of these. */
    chargedNanoUsd: integer().notNull(),
    writeOffNanoUsd: integer().notNull(),
    priceId: text().notNull(),
    weights: text().notNull(),
    /** JSON: the attempts, with node, region and ending. */
    attempts: text().notNull(),
    admittedAtMs: integer().notNull(),
    closedAtMs: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.account, table.request, table.revision] })],
);

/** What changed an account's balance: credits, and the usage of each applied batch in one row. Without rowid. */
export const ledgerEntries = sqliteTable(
  "ledger_entries",
  {
    account: text().notNull(),
    /** The number of the last event in the entry. */
    seq: integer().notNull(),
    kind: text({ enum: ["credit", "usage"] }).notNull(),
    amountNanoUsd: integer().notNull(),
    events: integer().notNull(),
    note: text().notNull(),
    atMs: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.account, table.seq] })],
);

/** How far each account's event log is in D1: its object may delete through here. */
export const applied = sqliteTable("applied", {
  account: text().primaryKey(),
  through: integer().notNull(),
});
