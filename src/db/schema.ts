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
  /** Null while it lives. Its ledger stays for the retention time (retention.ts), then everything of it goes. */
  deletedAtMs: integer(),
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

/**
 * Append-only: a new price is new rows with a later `effectiveFromMs`. Micro-dollars per million tokens. A price is one
 * row for the whole day, and one more for each window of the day that has rates of its own; what comes before the dot
 * in their ids is the same (price-in-force.ts).
 */
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
  /** Of a window: an IANA time zone, and minutes of its day [from, to); null in the row for the whole day. */
  zone: text(),
  fromMinute: integer(),
  toMinute: integer(),
  /** The weekdays it begins on, "12345" for Monday to Friday; null: all. */
  days: text(),
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

/** Servers without a node of ours, enrolled as overflow. `sealed_key` goes with the removal. */
export const upstreams = sqliteTable("upstreams", {
  id: text().primaryKey(),
  name: text().notNull(),
  region: text().notNull(),
  url: text().notNull(),
  /** The secret it wants to see, sealed under a secret of the deployment; null: it wants none. */
  sealedKey: text(),
  /** JSON: ours and theirs, and what each costs the operator. */
  models: text().notNull(),
  /** JSON: what it can do beside plain text. */
  features: text().notNull(),
  concurrency: integer().notNull(),
  /** What becomes of prompts there; null days: nobody has said. */
  trains: integer({ mode: "boolean" }).notNull(),
  retainsDays: integer(),
  keptIn: text().notNull(),
  createdAtMs: integer().notNull(),
  /** Not null: it gets no calls. */
  drainedAtMs: integer(),
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
    /** Of the attempt that closed it; "" where no node was asked. */
    region: text().notNull().default(""),
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
    /** JSON: the attempts, with node, region, ending, and the receipt as the node signed it. */
    attempts: text().notNull(),
    admittedAtMs: integer().notNull(),
    closedAtMs: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.account, table.request, table.revision] })],
);

/**
 * What changed an account's balance: credits, and the usage of each applied batch in one row. The greatest `seq` of an
 * account is how far its event log is in D1: its object may delete through there. Without rowid.
 */
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

/**
 * What an account used, by hour of admission (UTC), key, model and region: sums over the newest revision of each
 * request. Written in the transaction that brings the revisions. Without rowid.
 */
export const rollups = sqliteTable(
  "rollups",
  {
    account: text().notNull(),
    hourMs: integer().notNull(),
    key: text().notNull(),
    model: text().notNull(),
    region: text().notNull(),
    requests: integer().notNull(),
    promptTokens: integer().notNull(),
    cachedTokens: integer().notNull(),
    completionTokens: integer().notNull(),
    reasoningTokens: integer().notNull(),
    costNanoUsd: integer().notNull(),
    writeOffNanoUsd: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.account, table.hourMs, table.key, table.model, table.region] })],
);

/** What an operator should look at. One row per kind, subject and day, however often it happens. */
export const alerts = sqliteTable("alerts", {
  /** `<day>/<kind>/<subject>`, so that the newest are the end of the table. */
  id: text().primaryKey(),
  kind: text().notNull(),
  /** An account's or a node's id. */
  subject: text().notNull(),
  /** What happened the last time: ids and numbers. */
  detail: text().notNull(),
  times: integer().notNull(),
  firstAtMs: integer().notNull(),
  lastAtMs: integer().notNull(),
  /** When somebody said that they have seen it; null again when it happens anew. */
  seenAtMs: integer(),
});

/** Keys to the admin interface besides the operator's own token. */
export const adminKeys = sqliteTable("admin_keys", {
  id: text().primaryKey(),
  name: text().notNull(),
  secretSha256: text().notNull(),
  lastFour: text().notNull(),
  /** JSON: a list of scopes. */
  scopes: text().notNull(),
  /** Who made it: an admin key, or `token` for the operator's own. */
  madeBy: text().notNull(),
  createdAtMs: integer().notNull(),
  expiresAtMs: integer(),
  revokedAtMs: integer(),
});

/**
 * Who changed what. A row is made before the change is tried and gets its outcome once; nothing else is ever changed.
 * No row says more than ids, the route and a status.
 */
export const audit = sqliteTable("audit", {
  /** A ULID: text order is time order. */
  id: text().primaryKey(),
  atMs: integer().notNull(),
  /** An admin key, or `token` for the operator's own. */
  actor: text().notNull(),
  /** The route, like `POST /accounts/:account/credits`. */
  action: text().notNull(),
  /** What it was done to: the path's ids. */
  target: text().notNull(),
  /** The answer's status; null where the Worker died before it was known. */
  status: integer(),
});

/** How far the work that cron does in steps has come. */
export const chores = sqliteTable("chores", {
  name: text().primaryKey(),
  cursor: text().notNull(),
  atMs: integer().notNull(),
});

/** How far an account's books were compared, and their sums up to there, so that nothing is added up twice. */
export const reconciled = sqliteTable("reconciled", {
  account: text().primaryKey(),
  /** Of the ledger. */
  throughSeq: integer().notNull(),
  ledgerNanoUsd: integer().notNull(),
  atMs: integer().notNull(),
});
