/**
 * Who a node is, for the beats that come many times a second: isolate memory, then D1, which owns it, then KV, which
 * has a copy for the hours when D1 is away. Without that copy a fresh isolate would refuse every beat while D1 is down,
 * and routing would lose nodes that are perfectly well.
 *
 * A removed node is still known: its receipts are money, whoever it is by now.
 */
import { importPublicKey } from "@sluice/protocol/sign";
import { z } from "zod";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import type { NodeRecord } from "../core/node.ts";
import { PerSecond } from "../core/per-second.ts";
import { nodeById, recordOf } from "../db/registry.ts";

type Stores = Pick<Env, "DB" | "KV">;

/** Younger than this, memory is believed. A removal is noticed sooner: the region's object no longer knows the node. */
const MEMO_FRESH_MS = 30_000;
/** Nodes remembered per isolate; beyond it memory starts anew. */
const MEMO_MAX = 1_000;
/** An id that nobody has is not looked up again for this long: strangers' beats must not become queries to D1... */
const UNKNOWN_FRESH_MS = 2_000;
const UNKNOWN_MAX = 10_000;
/** ...nor may they by inventing ids. A node that this isolate does not know yet comes again with its next beat. */
const UNKNOWN_PER_SECOND_MAX = 50;

export type KnownNode = {
  readonly record: NodeRecord;
  readonly publicKey: CryptoKey;
  readonly removed: boolean;
};

const Copy = z.object({
  record: z.object({ id: z.string(), region: z.string(), url: z.string(), publicKey: z.string() }),
  removed: z.boolean(),
});
type Copy = z.infer<typeof Copy>;

const lookups = new PerSecond(UNKNOWN_PER_SECOND_MAX);
const unknown = new Map<string, number>();
const memo = new Map<string, { readonly node: KnownNode; readonly readAtMs: number }>();

function kvName(node: string): string {
  return `node/1/${node}`;
}

/**
 * Undefined where no such node was ever registered. Throws `storage_unavailable` where that cannot be told, `overloaded` where too many ids
 * that are new here were asked about this second.
 */
export async function findNode(env: Stores, node: string, nowMs: number): Promise<KnownNode | undefined> {
  const known = memo.get(node);
  if (known !== undefined && nowMs - known.readAtMs < MEMO_FRESH_MS) return known.node;
  if (nowMs < (unknown.get(node) ?? -Infinity)) return undefined;
  if (known === undefined && !lookups.take(nowMs))
    throw new FaultError({ kind: "overloaded", retryAfterMs: 1_000, edge: true });
  return readNode(env, node, nowMs);
}

/** The same, past the memory: for when the memory may be wrong. */
export async function readNode(env: Stores, node: string, nowMs: number): Promise<KnownNode | undefined> {
  let found: Copy | undefined;
  try {
    const row = await nodeById(env, node);
    found = row === undefined ? undefined : { record: recordOf(row), removed: row.removedAtMs !== null };
  } catch (error) {
    logError("registry_unreadable", error, { node });
    const old = memo.get(node);
    if (old !== undefined) return old.node;
    found = await readCopy(env, node);
    if (found === undefined) throw new FaultError({ kind: "storage_unavailable" }, { cause: error });
  }
  if (found === undefined) {
    memo.delete(node);
    if (unknown.size >= UNKNOWN_MAX) unknown.clear();
    unknown.set(node, nowMs + UNKNOWN_FRESH_MS);
    return undefined;
  }
  unknown.delete(node);
  const publicKey = await importPublicKey(found.record.publicKey);
  if (memo.size >= MEMO_MAX) memo.clear();
  const known = { ...found, publicKey };
  memo.set(node, { node: known, readAtMs: nowMs });
  return known;
}

async function readCopy(env: Stores, node: string): Promise<Copy | undefined> {
  const raw = await env.KV.get(kvName(node), { type: "json" }).catch(() => null);
  return raw === null ? undefined : Copy.safeParse(raw).data;
}

/** Brings KV's copy up to date, at enrolment and at removal. It is a fallback: failing to write it fails nothing. */
export async function writeNodeCopy(env: Stores, record: NodeRecord, removed: boolean): Promise<void> {
  try {
    await env.KV.put(kvName(record.id), JSON.stringify({ record, removed } satisfies Copy));
  } catch (error) {
    logError("node_copy_not_written", error, { node: record.id });
  }
}
