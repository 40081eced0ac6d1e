/**
 * The registry of nodes in D1: who may call itself a node, where it is reached, and the one-time tokens by which a
 * machine becomes one. D1 owns this; a region's object and isolates have copies.
 *
 * Only the hash of a join token is stored. A token is taken by the first public key that shows it, in one transaction
 * with the node's row, so that two machines with the same token can never both become the node.
 */
import { toHex, utf8 } from "@sluice/protocol/bytes";
import { and, eq, isNull } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import type { NodeRecord } from "../core/node.ts";
import { database } from "./database.ts";
import { cutPage, pageBy, type Page, type PageAsk } from "./page.ts";
import { joinTokens, nodes } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type NodeRow = typeof nodes.$inferSelect;

export type JoinToken = {
  readonly name: string;
  readonly region: string;
  readonly url: string;
  readonly expiresAtMs: number;
};

async function sha256Hex(text: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text))));
}

export async function insertJoinToken(env: Db, token: string, row: JoinToken): Promise<void> {
  await database(env)
    .insert(joinTokens)
    .values({ ...row, tokenSha256: await sha256Hex(token) });
}

export type Claim =
  | { readonly ok: true; readonly node: NodeRecord }
  | { readonly ok: false; readonly why: "unknown_token" | "expired" | "taken" | "removed" };

/**
 * Makes `nodeId` a node with this key, or finds the node that the same key became before. An expired token still
 * answers the key that took it in time: what expires is the invitation, not the node.
 */
export async function claimJoinToken(
  env: Db,
  ask: {
    readonly token: string;
    readonly publicKey: string;
    readonly nodeId: string;
    readonly nowMs: number;
  },
): Promise<Claim> {
  const db = database(env);
  const tokenSha256 = await sha256Hex(ask.token);
  const [row] = await db.select().from(joinTokens).where(eq(joinTokens.tokenSha256, tokenSha256));
  if (row === undefined) return { ok: false, why: "unknown_token" };
  if (row.node === null) {
    if (row.expiresAtMs <= ask.nowMs) return { ok: false, why: "expired" };
    // The update takes the token only where nobody has; the insert follows only where it took it. One transaction.
    await env.DB.batch([
      env.DB.prepare(
        "UPDATE join_tokens SET node = ?, public_key = ? WHERE token_sha256 = ? AND node IS NULL",
      ).bind(ask.nodeId, ask.publicKey, tokenSha256),
      env.DB.prepare(
        `INSERT INTO nodes (id, name, region, url, public_key, created_at_ms)
         SELECT node, name, region, url, public_key, ? FROM join_tokens WHERE token_sha256 = ? AND node = ?
         ON CONFLICT DO NOTHING`,
      ).bind(ask.nowMs, tokenSha256, ask.nodeId),
    ]);
  }
  const [taken] = await db
    .select({ node: nodes })
    .from(joinTokens)
    .innerJoin(nodes, eq(nodes.id, joinTokens.node))
    .where(eq(joinTokens.tokenSha256, tokenSha256));
  if (taken?.node.publicKey !== ask.publicKey) return { ok: false, why: "taken" };
  if (taken.node.removedAtMs !== null) return { ok: false, why: "removed" };
  return { ok: true, node: recordOf(taken.node) };
}

export function recordOf({ id, region, url, publicKey }: NodeRow): NodeRecord {
  return { id, region, url, publicKey };
}

export async function nodeById(env: Db, node: string): Promise<NodeRow | undefined> {
  const [row] = await database(env).select().from(nodes).where(eq(nodes.id, node));
  return row;
}

/** Every node that was ever registered, removed ones included: their receipts still come. */
export async function nodesPage(env: Db, { limit, after }: PageAsk): Promise<Page<NodeRow>> {
  const page = pageBy(nodes.createdAtMs, nodes.id, after);
  const rows = await database(env)
    .select()
    .from(nodes)
    .where(page.where)
    .orderBy(...page.order)
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.createdAtMs, row.id]);
}

/** What receipts are checked with: of every node that was ever registered, or of one. */
export async function nodeKeys(
  env: Db,
  node: string | undefined,
  limit: number,
): Promise<Pick<NodeRow, "id" | "publicKey" | "removedAtMs">[]> {
  const { id, publicKey, removedAtMs } = nodes;
  return database(env)
    .select({ id, publicKey, removedAtMs })
    .from(nodes)
    .where(node === undefined ? undefined : eq(nodes.id, node))
    .orderBy(nodes.id)
    .limit(limit);
}

/** The first removal is the one that is remembered. */
export async function markRemoved(env: Db, node: string, nowMs: number): Promise<void> {
  await database(env)
    .update(nodes)
    .set({ removedAtMs: nowMs })
    .where(and(eq(nodes.id, node), isNull(nodes.removedAtMs)));
}

/** Every region that has, or had, a node. */
export async function regionsKnown(env: Db): Promise<string[]> {
  const rows = await database(env).selectDistinct({ region: nodes.region }).from(nodes).orderBy(nodes.region);
  return rows.map((row) => row.region);
}
