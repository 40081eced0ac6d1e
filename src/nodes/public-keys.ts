/**
 * GET /.well-known/sluice-node-keys.json: the public keys of every node there ever was, as a JWK set, so that anybody can
 * check a receipt. Keys of removed nodes stay: what they signed stays true. Ids and keys only: neither names nor places.
 */
import type { Env } from "../core/env.ts";
import { nodeKeys } from "../db/registry.ts";

/** More nodes than anybody has; beyond it a single one is asked for with `?node=`. */
const KEYS_MAX = 10_000;
const MAX_AGE_S = 60;

export async function publicKeys(env: Env, url: string): Promise<Response> {
  const rows = await nodeKeys(env, new URL(url).searchParams.get("node") ?? undefined, KEYS_MAX);
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
  return Response.json({ keys }, { headers: { "cache-control": `public, max-age=${MAX_AGE_S}` } });
}
