/**
 * From a node's beat to the accounts' books: each receipt's signature and ticket are checked, what is sound goes to the
 * account it belongs to, and what the account has kept is acknowledged to the node.
 *
 * Invariants: a receipt reaches an account only if the node signed it and the edge sealed its ticket, for the same
 * attempt, within the ceilings. Nothing is acknowledged that an account has not committed. One account's failure holds
 * up no other: its receipts stay unacknowledged, and come again with a later beat.
 *
 * What cannot be read here (another version, a secret this deployment does not hold any more) is neither acknowledged
 * nor rejected: another edge may be able to.
 */
import type { Flagged, SettleAsk } from "@sluice/protocol/account";
import type { AttemptName, Beat, BeatReply } from "@sluice/protocol/beat";
import { TICKET_CHARS_MAX } from "@sluice/protocol/limits";
import { isCoveredBy, openReceipt, type Receipt } from "@sluice/protocol/receipt";
import type { Signed } from "@sluice/protocol/sign";
import { openTicket, ticketSecretId, type OpenedTicket } from "@sluice/protocol/ticket";
import { NEWEST } from "@sluice/protocol/version";
import { waitUntil } from "cloudflare:workers";
import { z } from "zod";
import { accountObject, type Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import type { NodeRecord } from "../core/node.ts";
import { raiseAlert, type AlertKind } from "../db/alerts.ts";
import { secretsOf, ticketKey, type Secrets } from "../core/secrets.ts";

type Settled = Pick<BeatReply, "acks" | "renewed" | "rejected">;
type Rejected = BeatReply["rejected"][number];
type Answer = {
  readonly acks: AttemptName[];
  readonly renewed: AttemptName[];
  readonly flagged: readonly Flagged[];
};

type Checked =
  | { readonly kind: "receipt"; readonly account: string; readonly receipt: SettleAsk["receipts"][number] }
  | { readonly kind: "renewal"; readonly account: string; readonly renewal: SettleAsk["renew"][number] }
  | { readonly kind: "rejected"; readonly rejected: Rejected; readonly of?: Receipt }
  | { readonly kind: "unreadable" };

/** Settles what a beat brings. The beat's own signature has been checked, with `publicKey`. */
export async function settleBeat(
  env: Env,
  node: NodeRecord,
  publicKey: CryptoKey,
  beat: Pick<Beat, "receipts" | "renew">,
): Promise<Settled> {
  const secrets = secretsOf(env);
  const checked = await Promise.all([
    ...beat.receipts.map((signed) => checkReceipt(secrets, node, publicKey, signed)),
    ...beat.renew.map((renewal) => checkRenewal(secrets, node, renewal)),
  ]);
  const asks = new Map<string, SettleAsk>();
  const rejected: Rejected[] = [];
  for (const one of checked) {
    if (one.kind === "rejected") rejected.push(one.rejected);
    if (one.kind !== "receipt" && one.kind !== "renewal") continue;
    const ask = asks.get(one.account) ?? { v: NEWEST, account: one.account, receipts: [], renew: [] };
    asks.set(one.account, ask);
    if (one.kind === "receipt") ask.receipts.push(one.receipt);
    else ask.renew.push(one.renewal);
  }
  const answers = await Promise.all([...asks.values()].map((ask) => settleAccount(env, ask)));
  waitUntil(raiseAll(env, node, checked, answers));
  return {
    acks: answers.flatMap(({ acks }) => acks),
    renewed: answers.flatMap(({ renewed }) => renewed),
    rejected,
  };
}

async function settleAccount(env: Env, ask: SettleAsk): Promise<Answer> {
  try {
    const { acks, renewed, flagged = [] } = await accountObject(env, ask.account).settle(ask);
    return { acks: [...acks], renewed: [...renewed], flagged: [...flagged] };
  } catch (error) {
    const { account, receipts, renew } = ask;
    logError("settlement_failed", error, { account, receipts: receipts.length, renew: renew.length });
    return { acks: [], renewed: [], flagged: [] };
  }
}

/** One alert per kind, with the last of its receipts: a node's bad beat is one thing to look at, not two hundred. */
async function raiseAll(
  env: Env,
  node: NodeRecord,
  checked: readonly Checked[],
  answers: readonly Answer[],
): Promise<void> {
  const told = new Map<AlertKind, string>();
  for (const one of checked) {
    if (one.kind === "rejected") told.set(`receipt_${one.rejected.why}`, sayReceipt(one.of));
    if (one.kind === "unreadable")
      told.set("receipt_unreadable", "another version, or a secret that is not here");
  }
  for (const { request, ordinal, why } of answers.flatMap(({ flagged }) => flagged))
    told.set(`receipt_${why}`, `${request}, attempt ${ordinal}`);
  const nowMs = Date.now();
  for (const [kind, detail] of told) await raiseAlert(env, { kind, subject: node.id, detail }, nowMs);
}

function sayReceipt(receipt: Receipt | undefined): string {
  if (receipt === undefined) return "what it is of cannot be trusted";
  const { request, ordinal, from, to, prompt } = receipt;
  return `${request}, attempt ${ordinal}: positions ${from} to ${to}, prompt ${prompt}`;
}

async function checkReceipt(
  secrets: Secrets,
  node: NodeRecord,
  publicKey: CryptoKey,
  signed: Signed,
): Promise<Checked> {
  const opened = await openReceipt(publicKey, signed);
  if (!opened.ok)
    return opened.why === "unreadable"
      ? { kind: "unreadable" }
      : rejection(ticketIn(signed.body), opened.why);
  const { receipt } = opened;
  const found = await findTicket(secrets, node, receipt.ticket);
  if (!found.ok) return found.why === "forged" ? rejection(receipt.ticket, "forged") : { kind: "unreadable" };
  const { ticket } = found;
  if (!isCoveredBy(receipt, ticket, node.id)) {
    return rejection(receipt.ticket, "impossible", receipt);
  }
  const { account, region, promptCeiling, outputCeiling } = ticket;
  return { kind: "receipt", account, receipt: { receipt, region, promptCeiling, outputCeiling, signed } };
}

async function checkRenewal(
  secrets: Secrets,
  node: NodeRecord,
  renewal: Beat["renew"][number],
): Promise<Checked> {
  const found = await findTicket(secrets, node, renewal.ticket);
  // The reply has no word for a renewal that is forged: it is simply not among those renewed.
  if (!found.ok) return { kind: "unreadable" };
  const { account, request, ordinal, region, outputCeiling } = found.ticket;
  const position = Math.min(renewal.position, outputCeiling);
  return { kind: "renewal", account, renewal: { request, ordinal, position, node: node.id, region } };
}

/** Opens a ticket under the secret it names; `unreadable` where this deployment does not hold that secret. */
async function findTicket(secrets: Secrets, node: NodeRecord, sealed: string): Promise<OpenedTicket> {
  const secretId = ticketSecretId(sealed);
  if (secretId === undefined) return { ok: false, why: "forged" };
  const key = await ticketKey(secrets, secretId, node.id);
  return key === undefined ? { ok: false, why: "unreadable" } : openTicket(key, node.id, sealed);
}

function rejection(ticket: string | undefined, why: Rejected["why"], of?: Receipt): Checked {
  // A rejection is told by its ticket; a body without one cannot be answered, only left out.
  if (ticket === undefined) return { kind: "unreadable" };
  return { kind: "rejected", rejected: { ticket, why }, ...(of === undefined ? {} : { of }) };
}

const WithTicket = z.object({ ticket: z.string().min(1).max(TICKET_CHARS_MAX) });

/** The ticket named in a text nobody vouches for: good enough to say which one was refused, and for nothing else. */
function ticketIn(body: string): string | undefined {
  try {
    return WithTicket.safeParse(JSON.parse(body)).data?.ticket;
  } catch {
    return undefined;
  }
}
