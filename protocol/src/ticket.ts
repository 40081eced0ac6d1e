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
import { ATTEMPTS_MAX } from "./limits.ts";
import { Version } from "./version.ts";

const NONCE_BYTES = 12;

/** Integer micro-dollars per million tokens, by component; `id` names the row of the price book. */
export const PriceRow = z.object({
  id: z.string().min(1).max(64),
  inputMicroUsdPerM: z.int().min(0),
  cachedMicroUsdPerM: z.int().min(0),
  outputMicroUsdPerM: z.int().min(0),
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
  from: z.int().min(0),
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

/** Opens a ticket that came back from `node`; undefined where it is forged, foreign, or of a version not spoken. */
export async function openTicket(key: CryptoKey, node: string, sealed: string): Promise<Ticket | undefined> {
  const bytes = fromBase64Url(sealed.slice(sealed.indexOf(":") + 1));
  if (bytes === undefined || bytes.length <= NONCE_BYTES) return undefined;
  try {
    const opened = await crypto.subtle.decrypt(
      { name: "AES-GCM", iv: bytes.slice(0, NONCE_BYTES), additionalData: boundTo(node) },
      key,
      bytes.slice(NONCE_BYTES),
    );
    const ticket = Ticket.safeParse(JSON.parse(fromUtf8(new Uint8Array(opened))));
    return ticket.success && ticket.data.node === node ? ticket.data : undefined;
  } catch {
    return undefined;
  }
}
