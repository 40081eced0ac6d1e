/**
 * Upstreams in D1, which owns them; the request path reads those that take calls out of the catalogue's snapshot. A row stays
 * after its removal, because usage names it; its secret does not.
 */
import { and, eq, isNull } from "drizzle-orm";
import type { z } from "zod";
import type { Env } from "../core/env.ts";
import { UpstreamFeature, UpstreamModel, type Upstream } from "../core/upstream.ts";
import { database } from "./database.ts";
import { cutPage, pageBy, type Page, type PageAsk } from "./page.ts";
import { upstreams } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type UpstreamRow = typeof upstreams.$inferSelect;

/** All of them travel in the catalogue's snapshot, which every isolate reads. */
export const UPSTREAMS_MAX = 64;

/**
 * A row as the request path knows it, whichever version of us wrote it: what it says nothing of is what the schema says where
 * nobody has said, and a model or a feature that cannot be read here is not offered.
 */
export function upstreamOf(row: UpstreamRow): Upstream {
  const { id, region, url, sealedKey, concurrency, trains, retainsDays, keptIn } = row;
  return {
    kind: "upstream",
    id,
    region,
    url,
    sealedKey,
    models: readable(UpstreamModel, row.models),
    features: readable(UpstreamFeature, row.features),
    concurrency,
    policy: { trains, retainsDays, keptIn },
  };
}

function readable<T>(schema: z.ZodType<T>, json: string): T[] {
  return (JSON.parse(json) as unknown[]).flatMap((entry) => {
    const read = schema.safeParse(entry);
    return read.success ? [read.data] : [];
  });
}

export async function insertUpstream(
  env: Db,
  upstream: Upstream,
  { name, createdAtMs }: Pick<UpstreamRow, "name" | "createdAtMs">,
): Promise<void> {
  const { kind: _, models, features, policy, ...rest } = upstream;
  const json = { models: JSON.stringify(models), features: JSON.stringify(features) };
  await database(env)
    .insert(upstreams)
    .values({ ...rest, ...json, ...policy, name, createdAtMs });
}

/** Undefined where there never was one. */
export async function upstreamById(env: Db, id: string): Promise<UpstreamRow | undefined> {
  const [row] = await database(env).select().from(upstreams).where(eq(upstreams.id, id));
  return row;
}

export async function upstreamsPage(env: Db, { limit, after }: PageAsk): Promise<Page<UpstreamRow>> {
  const page = pageBy(upstreams.createdAtMs, upstreams.id, after);
  const rows = await database(env)
    .select()
    .from(upstreams)
    .where(page.where)
    .orderBy(...page.order)
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.createdAtMs, row.id]);
}

/** Those that are not removed. */
export async function countUpstreams(env: Db): Promise<number> {
  return database(env).$count(upstreams, isNull(upstreams.removedAtMs));
}

/** Those that take calls. */
export async function upstreamsOffered(env: Db): Promise<Upstream[]> {
  const rows = await database(env)
    .select()
    .from(upstreams)
    .where(and(isNull(upstreams.removedAtMs), isNull(upstreams.drainedAtMs)))
    .orderBy(upstreams.id)
    .limit(UPSTREAMS_MAX);
  return rows.map(upstreamOf);
}

export async function changeUpstream(
  env: Db,
  id: string,
  change: Partial<Pick<UpstreamRow, "sealedKey" | "drainedAtMs" | "removedAtMs">>,
): Promise<void> {
  await database(env).update(upstreams).set(change).where(eq(upstreams.id, id));
}
