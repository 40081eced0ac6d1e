/**
 * The ticket: what the edge tells its later self about an attempt. It travels sealed through the node and comes back in
 * the receipt, so that any Worker can settle any request without looking anything up.
 *
 * Sealed means AES-256-GCM under a key the edge derives for that node alone. A MAC would stop forgery too; encryption
 * also keeps the account's id and its prices from the node, which is to see the isolation tag and nothing else of whom
 * it works for. A key per node keeps the count of random nonces under one key far from GCM's bound.
 */
import { z } from "zod";
import { concat, fromBase64Url, fromUtf8, toBase64Url, utf8, type Bytes } from "./bytes.ts";
import { AccountId, KeyId, NodeId, Region, RequestId } from "./ids.ts";
import { ATTEMPTS_MAX, PRICE_MICRO_USD_PER_M_MAX, TOKENS_MAX } from "./limits.ts";
import { Version } from "./version.ts";

const NONCE_BYTES = 12;

const rate = z.int().min(0).max(PRICE_MICRO_USD_PER_M_MAX);

/** Integer micro-dollars per million tokens, by component; `id` names the row of the price book. */
export const PriceRow = z.object({
  id: z.string().min(1).max(64),
  inputMicroUsdPerM: rate,
  cachedMicroUsdPerM: rate,
  outputMicroUsdPerM: rate,
  /** What an answer out of the cache costs, by its prompt and its output; free where nothing is said. */
  hitInputMicroUsdPerM: rate.optional(),
  hitOutputMicroUsdPerM: rate.optional(),
});
export type PriceRow = z.infer<typeof PriceRow>;

export const Ticket = z.object({
  v: Version,
  account: AccountId,
  key: KeyId,
  request: RequestId,
  ordinal: z
    .int()
    .min(0)
    .max(ATTEMPTS_MAX - 1),
  node: NodeId,
  region: Region,
  model: z.string().min(1).max(128),
  /** Positions delivered by earlier attempts; what `resume.from` says, or 0. */
  from: z.int().min(0).max(TOKENS_MAX),
  /** With `from` > 0: the prompt and cached counts of the first producing attempt, which the receipt has to echo. */
  prompt: z.int().min(0).max(TOKENS_MAX),
  cached: z.int().min(0).max(TOKENS_MAX),
  promptCeiling: z.int().min(1),
  outputCeiling: z.int().min(1),
  issuedAtMs: z.int().min(0),
  price: PriceRow,
});
export type Ticket = z.infer<typeof Ticket>;

export function importTicketKey(bytes: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}

function boundTo(node: string): Bytes {
  return utf8(`sluice-ticket\n${node}`);
}

/** `nonce` is 12 random bytes. The result begins with the id of the secret the key was derived from. */
export async function sealTicket(
  secretId: string,
  key: CryptoKey,
  ticket: Ticket,
  nonce: Bytes,
): Promise<string> {
  const sealed = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: nonce, additionalData: boundTo(ticket.node) },
    key,
    utf8(JSON.stringify(ticket)),
  );
  return `${secretId}:${toBase64Url(concat(nonce, new Uint8Array(sealed)))}`;
}

/** Under which secret a ticket was sealed; undefined where it is not one. */
export function ticketSecretId(sealed: string): string | undefined {
  const colon = sealed.indexOf(":");
  return colon > 0 ? sealed.slice(0, colon) : undefined;
}

/**
 * `forged` is for ever: no edge will take it. `unreadable` is for now: another version, which a newer (or older) edge
 * can read; whoever sent it shall keep it and try again.
 */
export type OpenedTicket =
  | { readonly ok: true; readonly ticket: Ticket }
  | { readonly ok: false; readonly why: "forged" | "unreadable" };

/** Opens a ticket that came back from `node`, with the key of the secret it names. */
export async function openTicket(key: CryptoKey, node: string, sealed: string): Promise<OpenedTicket> {
  const forged = { ok: false, why: "forged" } as const;
  const bytes = fromBase64Url(sealed.slice(sealed.indexOf(":") + 1));
  if (bytes === undefined || bytes.length <= NONCE_BYTES) return forged;
  let opened: ArrayBuffer;
  try {
    const iv = bytes.slice(0, NONCE_BYTES);
    const algorithm = { name: "AES-GCM", iv, additionalData: boundTo(node) };
    opened = await crypto.subtle.decrypt(algorithm, key, bytes.slice(NONCE_BYTES));
  } catch {
    return forged;
  }
  // What opens was sealed by us; a shape we do not know is another version's.
  const ticket = Ticket.safeParse(JSON.parse(fromUtf8(new Uint8Array(opened))));
  return ticket.success ? { ok: true, ticket: ticket.data } : { ok: false, why: "unreadable" };
}
