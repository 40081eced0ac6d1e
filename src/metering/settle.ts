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
import type { SettleAsk } from "@sluice/protocol/account";
import type { AttemptName, Beat, BeatReply } from "@sluice/protocol/beat";
import { isCoveredBy, openReceipt, type Receipt } from "@sluice/protocol/receipt";
import type { Signed } from "@sluice/protocol/sign";
import { openTicket, ticketSecretId, type OpenedTicket } from "@sluice/protocol/ticket";
import { NEWEST } from "@sluice/protocol/version";
import { z } from "zod";
import { accountObject, type Env } from "../core/env.ts";
import { log, logError } from "../core/log.ts";
import type { NodeRecord } from "../core/node.ts";
import { secretsOf, ticketKey, type Secrets } from "../core/secrets.ts";

type Settled = Pick<BeatReply, "acks" | "renewed" | "rejected">;
type Rejected = BeatReply["rejected"][number];

type Checked =
  | { readonly kind: "receipt"; readonly account: string; readonly receipt: SettleAsk["receipts"][number] }
  | { readonly kind: "renewal"; readonly account: string; readonly renewal: SettleAsk["renew"][number] }
  | { readonly kind: "rejected"; readonly rejected: Rejected }
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
  if (rejected.length > 0) log("receipts_rejected", { node: node.id, why: rejected.map(({ why }) => why) });
  return {
    acks: answers.flatMap(({ acks }) => acks),
    renewed: answers.flatMap(({ renewed }) => renewed),
    rejected,
  };
}

async function settleAccount(
  env: Env,
  ask: SettleAsk,
): Promise<{ readonly acks: AttemptName[]; readonly renewed: AttemptName[] }> {
  try {
    const { acks, renewed } = await accountObject(env, ask.account).settle(ask);
    return { acks: [...acks], renewed: [...renewed] };
  } catch (error) {
    const { account, receipts, renew } = ask;
    logError("settlement_failed", error, { account, receipts: receipts.length, renew: renew.length });
    return { acks: [], renewed: [] };
  }
}

async function checkReceipt(
  secrets: Secrets,
  node: NodeRecord,
  publicKey: CryptoKey,
  signed: Signed,
): Promise<Checked> {
  const opened = await openReceipt(publicKey, signed);
  if (!opened.ok)
    return opened.why === "forged" ? rejection(ticketIn(signed.body), "forged") : { kind: "unreadable" };
  const { receipt } = opened;
  const found = await findTicket(secrets, node, receipt.ticket);
  if (!found.ok) return found.why === "forged" ? rejection(receipt.ticket, "forged") : { kind: "unreadable" };
  const { ticket } = found;
  if (!isCoveredBy(receipt, ticket, node.id)) {
    tellImpossible(receipt, node);
    return rejection(receipt.ticket, "impossible");
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

function rejection(ticket: string | undefined, why: Rejected["why"]): Checked {
  // A rejection is told by its ticket; a body without one cannot be answered, only left out.
  return ticket === undefined ? { kind: "unreadable" } : { kind: "rejected", rejected: { ticket, why } };
}

const WithTicket = z.object({ ticket: z.string().min(1).max(2_048) });

/** The ticket named in a text nobody vouches for: good enough to say which one was refused, and for nothing else. */
function ticketIn(body: string): string | undefined {
  try {
    return WithTicket.safeParse(JSON.parse(body)).data?.ticket;
  } catch {
    return undefined;
  }
}

function tellImpossible({ request, ordinal, from, to, prompt }: Receipt, node: NodeRecord): void {
  log("receipt_impossible", { node: node.id, request, ordinal, from, to, prompt });
}
