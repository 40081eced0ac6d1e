/**
 * Who calls: the API key in the headers, checked against its own checksum. No storage is touched here: a key that
 * passes names its account, and the account's object decides, in the admission, whether it (still) lets anyone in.
 * Only refusals are ever remembered, for a second and by the key's own text, so that a client that hammers with a
 * revoked key costs its account's object one call a second per isolate. An admission is never remembered.
 *
 * That a key's checksum is right is remembered as well: it follows from the key and the deployment's secrets alone, says nothing
 * of whether the key still opens anything, and would be two hashes a call. So the keys used last stand in the isolate's memory,
 * where each of their calls stands too.
 */
import { FaultError, type Fault } from "../core/fault.ts";
import type { Secrets } from "../core/secrets.ts";
import { checkKey } from "./key.ts";

const REFUSED_FOR_MS = 1_000;
const REFUSED_MAX = 1_000;
const KEY_LENGTH_MAX = 200;
/** Beyond it memory starts anew. */
const SOUND_MAX = 4_096;

export type Principal = {
  readonly account: string;
  readonly keyId: string;
  /** Of the secret part of the key, hex. */
  readonly secretSha256: string;
};

type Refused = Extract<Fault, { kind: "unauthenticated" }>;

/** By Principal fields: the account's object has just said no to exactly this. */
const refused = new Map<string, { readonly fault: Refused; readonly untilMs: number }>();

/** What a key's text names, where its checksum is right under these secrets. */
const sound = new WeakMap<Secrets, Map<string, Principal>>();

async function read(secrets: Secrets, key: string): Promise<Principal | undefined> {
  let known = sound.get(secrets);
  if (known === undefined) sound.set(secrets, (known = new Map()));
  const before = known.get(key);
  if (before !== undefined) return before;
  const who = await checkKey(secrets, key);
  if (who === undefined) return undefined;
  if (known.size >= SOUND_MAX) known.clear();
  known.set(key, who);
  return who;
}

function nameOf(who: Principal): string {
  return `${who.account}/${who.keyId}/${who.secretSha256}`;
}

/** Throws a FaultError `unauthenticated`. */
export async function authenticate(secrets: Secrets, headers: Headers, nowMs: number): Promise<Principal> {
  const header = headers.get("authorization");
  if (header === null) throw new FaultError({ kind: "unauthenticated", why: "missing" });
  const key = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (key === undefined || key.length > KEY_LENGTH_MAX)
    throw new FaultError({ kind: "unauthenticated", why: "malformed" });
  const who = await read(secrets, key);
  if (who === undefined) throw new FaultError({ kind: "unauthenticated", why: "malformed" });
  const known = refused.get(nameOf(who));
  if (known !== undefined && known.untilMs > nowMs) throw new FaultError(known.fault);
  return who;
}

/** Remembers that the account's object refused this very key, for a second. */
export function rememberRefusal(who: Principal, fault: Refused, nowMs: number): void {
  if (refused.size >= REFUSED_MAX) refused.clear();
  refused.set(nameOf(who), { fault, untilMs: nowMs + REFUSED_FOR_MS });
}
