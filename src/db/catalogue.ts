/**
 * The catalogue on its way from D1, which owns it, to the request path: D1 -> one value in KV -> the isolate's memory.
 *
 * Ages: memory is fresh for 5 s; up to 5 min it answers at once and renews itself behind the answer; KV is written on
 * every admin change and looked after once a minute by cron; Cloudflare shows a KV write everywhere within about a
 * minute. While KV and D1 are both away the last known value is served, however old: `builtAtMs` says how old.
 *
 * The surprising choice: renewals are not shared between requests. workerd ties a promise of I/O to the request that
 * began it, and when that request dies the promise never settles; so nobody ever waits for another's renewal. A lease
 * in memory keeps renewals rare, and who finds it taken is served from memory.
 */
import { gte, sql } from "drizzle-orm";
import { waitUntil } from "cloudflare:workers";
import type { Catalogue } from "../core/catalogue.ts";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import { within } from "../core/within.ts";
import { database } from "./database.ts";
import { timedPrice } from "./models.ts";
import { catalogueAt, CatalogueSnapshot } from "./price-in-force.ts";
import { regionsKnown } from "./registry.ts";
import { aliases, models, prices } from "./schema.ts";
import { upstreamsOffered } from "./upstreams.ts";

type Stores = Pick<Env, "DB" | "KV">;

const KV_NAME = "catalogue/1";
/** KV's own nearest cache may hold the value this long; 30 s is the least it allows. */
const KV_CACHE_TTL_S = 30;
const FRESH_MS = 5_000;
/** Older than this, a request waits for the renewal instead of leaving it behind its answer. */
const SERVE_STALE_MS = 5 * 60_000;
/** A renewal that has not come back by now is taken for lost, and the next request tries. */
const LEASE_MS = 2_000;
/** How long a request waits for a renewal: with something too old to go on with, and with nothing. */
const RENEWAL_WAIT_MS = 300;
const FIRST_WAIT_MS = 5_000;
/** With both stores away nobody tries again before this. */
const AWAY_RETRY_MS = 2_000;
/** An unchanged snapshot is written again only when it has become this old: a write to KV costs more than a read. */
const REWRITE_MS = 10 * 60_000;

/** This isolate's copy. Losing it costs one read of KV. */
const memory: {
  snapshot?: CatalogueSnapshot;
  readAtMs: number;
  leasedUntilMs: number;
  awayUntilMs: number;
  derived?: { readonly catalogue: Catalogue; readonly fromMs: number; readonly untilMs: number };
} = { readAtMs: -Infinity, leasedUntilMs: -Infinity, awayUntilMs: -Infinity };

/** What is offered now. Throws `storage_unavailable` only where nothing was ever known. */
export async function readCatalogue(env: Stores, nowMs: number): Promise<Catalogue> {
  const ageMs = nowMs - memory.readAtMs;
  const tooOld = ageMs > SERVE_STALE_MS;
  const leased = nowMs < memory.leasedUntilMs && !tooOld;
  if (ageMs > FRESH_MS && !leased && nowMs >= memory.awayUntilMs) {
    memory.leasedUntilMs = nowMs + LEASE_MS;
    const renewal = renew(env, nowMs);
    waitUntil(renewal);
    if (memory.snapshot === undefined) await within(renewal, FIRST_WAIT_MS);
    else if (tooOld) await within(renewal, RENEWAL_WAIT_MS);
  }
  if (memory.snapshot === undefined) throw new FaultError({ kind: "storage_unavailable" });
  return derive(memory.snapshot, nowMs);
}

function derive(snapshot: CatalogueSnapshot, nowMs: number): Catalogue {
  const known = memory.derived;
  if (known !== undefined && nowMs >= known.fromMs && nowMs < known.untilMs) return known.catalogue;
  const made = catalogueAt(snapshot, nowMs);
  memory.derived = { ...made, fromMs: nowMs };
  return made.catalogue;
}

/** Never throws: what is known stays known. */
async function renew(env: Stores, nowMs: number): Promise<void> {
  const found = (await fromKv(env)) ?? (await fromD1(env, nowMs));
  if (found !== undefined) remember(found, nowMs);
  else if (memory.snapshot !== undefined) memory.awayUntilMs = nowMs + AWAY_RETRY_MS;
}

function remember(snapshot: CatalogueSnapshot, nowMs: number): void {
  // Two renewals may overtake each other, and KV may show an older value than an admin of this isolate just wrote.
  if (memory.snapshot === undefined || snapshot.builtAtMs >= memory.snapshot.builtAtMs) {
    memory.snapshot = snapshot;
    delete memory.derived;
  }
  memory.readAtMs = nowMs;
}

async function fromKv(env: Stores): Promise<CatalogueSnapshot | undefined> {
  try {
    const raw = await env.KV.get(KV_NAME, { type: "json", cacheTtl: KV_CACHE_TTL_S });
    if (raw === null) return undefined;
    const snapshot = CatalogueSnapshot.safeParse(raw);
    return snapshot.success ? snapshot.data : undefined;
  } catch (error) {
    logError("catalogue_kv_unreadable", error);
    return undefined;
  }
}

async function fromD1(env: Stores, nowMs: number): Promise<CatalogueSnapshot | undefined> {
  try {
    return await readBooks(env, nowMs);
  } catch (error) {
    logError("catalogue_d1_unreadable", error);
    return undefined;
  }
}

/** By cron: reads D1, and writes KV where that differs. Throws where D1 or KV does. */
export async function refreshCatalogue(env: Stores, nowMs: number): Promise<void> {
  const built = await readBooks(env, nowMs);
  const kept = await fromKv(env);
  if (kept === undefined || nowMs - kept.builtAtMs > REWRITE_MS || !sameOffer(kept, built))
    await env.KV.put(KV_NAME, JSON.stringify(built));
  remember(built, nowMs);
}

/**
 * After a change in D1: writes KV whatever it seems to hold, because its own cache may show what was there before the
 * last change. The change is durable already, so a failure here costs a minute, until cron has been.
 */
export async function publishCatalogue(env: Stores, nowMs: number): Promise<void> {
  try {
    const built = await readBooks(env, nowMs);
    remember(built, nowMs);
    await env.KV.put(KV_NAME, JSON.stringify(built));
  } catch (error) {
    logError("catalogue_not_published", error);
  }
}

function sameOffer(a: CatalogueSnapshot, b: CatalogueSnapshot): boolean {
  return JSON.stringify({ ...a, builtAtMs: 0 }) === JSON.stringify({ ...b, builtAtMs: 0 });
}

/** The whole catalogue as D1 has it: what is in force, and what is to come. */
export async function readBooks(env: Pick<Env, "DB">, nowMs: number): Promise<CatalogueSnapshot> {
  const db = database(env);
  // Of the prices that have begun, only the latest of each model still matters.
  const begun = sql`(select max(p.effective_from_ms) from prices p
    where p.model = prices.model and p.effective_from_ms <= ${nowMs})`;
  const [modelRows, aliasRows, priceRows, regions, upstreams] = await Promise.all([
    db.select().from(models).orderBy(models.id),
    db.select().from(aliases).orderBy(aliases.alias),
    db
      .select()
      .from(prices)
      .where(gte(prices.effectiveFromMs, sql`coalesce(${begun}, 0)`))
      .orderBy(prices.effectiveFromMs, prices.id),
    regionsKnown(env),
    upstreamsOffered(env),
  ]);
  return CatalogueSnapshot.parse({
    builtAtMs: nowMs,
    models: modelRows.map((model) => ({
      ...model,
      prices: priceRows.filter((price) => price.model === model.id).map(timedPrice),
    })),
    aliases: aliasRows,
    regions,
    upstreams,
  });
}
