/**
 * The ids that travel between edge, node and account object, and their shapes.
 * Request ids are ULIDs: 48 bits of milliseconds, then 80 random bits, in Crockford's base 32, so that text order is
 * time order and a table keyed by them grows at its end. Clock and dice are arguments.
 */
import { z } from "zod";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** 26 characters, the first ten of them the time. `dice` needs 16 random bytes. */
export function ulid(nowMs: number, dice: Uint8Array): string {
  let time = "";
  for (let rest = nowMs, i = 0; i < 10; i++) {
    time = ALPHABET.charAt(rest % 32) + time;
    rest = Math.floor(rest / 32);
  }
  let random = "";
  for (let i = 0; i < 16; i++) random += ALPHABET.charAt((dice[i] ?? 0) & 31);
  return time + random;
}

/** When an id made by `ulid` was made, in milliseconds since 1970. */
export function ulidTimeMs(id: string): number {
  let timeMs = 0;
  for (const letter of id.slice(-26, -16)) timeMs = timeMs * 32 + ALPHABET.indexOf(letter);
  return timeMs;
}

/** `length` characters of Crockford's base 32, lower case; `dice` needs as many random bytes. */
export function randomName(length: number, dice: Uint8Array): string {
  let name = "";
  for (let i = 0; i < length; i++) name += ALPHABET.charAt((dice[i] ?? 0) & 31);
  return name.toLowerCase();
}

export const RequestId = z.string().regex(/^req_[0-9A-HJKMNP-TV-Z]{26}$/, "is not the id of a request");
/** The middle part is the account's home: the jurisdiction its object lives in. */
export const AccountId = z.string().regex(/^acc_[a-z]{2,8}_[0-9a-z]{12}$/, "is not the id of an account");
export const KeyId = z.string().regex(/^key_[0-9a-z]{10}$/, "is not the id of a key");
export const NodeId = z.string().regex(/^node_[0-9a-z]{10}$/, "is not the id of a node");
/** A server without a node of ours, enrolled as overflow. */
const UPSTREAM_PREFIX = "upstream_";
export const UpstreamId = z.string().regex(/^upstream_[0-9a-z]{10}$/, "is not the id of an upstream");
/** Who may be asked to answer. */
export const PlaceId = z.union([NodeId, UpstreamId]);

export function isUpstreamId(place: string): boolean {
  return place.startsWith(UPSTREAM_PREFIX);
}

/** Made anew at every start of a node process; a newer one fences the older. */
export const BootId = z.string().regex(/^boot_[0-9A-HJKMNP-TV-Z]{26}$/);
export const Region = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,31}$/,
    "names no region: up to 32 small letters, digits and dashes do, a letter first",
  );
/** Names a secret, so that a deployment can hold two while it rotates. */
export const SecretId = z.string().regex(/^[a-z0-9]{1,8}$/);

/** The jurisdiction named in an account id. */
export function homeOf(account: string): string {
  return account.split("_")[1] ?? "";
}
