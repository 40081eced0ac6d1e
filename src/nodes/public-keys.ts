/**
 * GET /.well-known/sluice-node-keys.json: the public keys of every node there ever was, as a JWK set, so that anybody can
 * check a receipt. Keys of removed nodes stay: what they signed stays true. Ids and keys only: neither names nor places.
 *
 * Anybody may ask, so D1 is not asked for everybody: the list stands in the isolate's memory as long as an answer may be kept, and a
 * node that is not in it yet is looked up a few times a second at most.
 */
import { NodeId } from "@sluice/protocol/ids";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { PerSecond } from "../core/per-second.ts";
import { nodeKeys } from "../db/registry.ts";

/** More nodes than anybody has; beyond it a single one is asked for with `?node=`. */
const KEYS_MAX = 10_000;
const MAX_AGE_S = 60;
const LOOKUPS_PER_SECOND_MAX = 20;

type Row = Awaited<ReturnType<typeof nodeKeys>>[number];

type List = { readonly byId: ReadonlyMap<string, Row>; readonly text: string; readonly readAtMs: number };

/** Apart: whoever invents ids takes the list from nobody. */
const lookups = new PerSecond(LOOKUPS_PER_SECOND_MAX);
const listings = new PerSecond(LOOKUPS_PER_SECOND_MAX);
let remembered: List | undefined;

/** Throws a FaultError. */
export async function publicKeys(env: Env, url: string): Promise<Response> {
  const nowMs = Date.now();
  const named = new URL(url).searchParams.get("node");
  const text = named === null ? (await list(env, nowMs)).text : await one(env, named, nowMs);
  return new Response(text, {
    headers: { "content-type": "application/json", "cache-control": `public, max-age=${MAX_AGE_S}` },
  });
}

async function list(env: Env, nowMs: number): Promise<List> {
  const known = remembered;
  if (known !== undefined && nowMs - known.readAtMs < MAX_AGE_S * 1_000) return known;
  let rows: readonly Row[];
  try {
    rows = await lookUp(env, undefined, listings, nowMs);
  } catch (error) {
    if (known === undefined) throw error;
    // A list of before is true of every node it names.
    return known;
  }
  remembered = { byId: new Map(rows.map((row) => [row.id, row])), text: print(rows), readAtMs: nowMs };
  return remembered;
}

async function one(env: Env, named: string, nowMs: number): Promise<string> {
  const node = NodeId.safeParse(named).data;
  if (node === undefined)
    throw new FaultError({
      kind: "invalid_request",
      param: "node",
      message: "'node' is not the id of a node",
    });
  const isFresh = remembered !== undefined && nowMs - remembered.readAtMs < MAX_AGE_S * 1_000;
  const known = isFresh ? remembered?.byId.get(node) : undefined;
  return print(known === undefined ? await lookUp(env, node, lookups, nowMs) : [known]);
}

async function lookUp(
  env: Env,
  node: string | undefined,
  budget: PerSecond,
  nowMs: number,
): Promise<readonly Row[]> {
  if (!budget.take(nowMs)) throw new FaultError({ kind: "overloaded", retryAfterMs: 1_000, edge: true });
  return nodeKeys(env, node, KEYS_MAX).catch((cause: unknown) => {
    throw new FaultError({ kind: "storage_unavailable" }, { cause });
  });
}

function print(rows: readonly Row[]): string {
  const keys = rows.map(({ id, publicKey, removedAtMs }) => ({
    kty: "OKP",
    crv: "Ed25519",
    alg: "EdDSA",
    use: "sig",
    kid: id,
    x: publicKey,
    /** Of a removed node, in seconds: it signs nothing new that would be paid. */
    ...(removedAtMs === null ? {} : { removed_at: Math.floor(removedAtMs / 1_000) }),
  }));
  return JSON.stringify({ keys });
}
