/** Tickets as this deployment seals them into its calls, for receipts that tests write themselves. */
import { sealTicket, type Ticket } from "@sluice/protocol/ticket";
import { env } from "cloudflare:workers";
import { secretsOf, ticketKey } from "../../../src/core/secrets.ts";
import { NODE, PRICE, REGION } from "../account/support.ts";

export function ticketOf(account: string, request: string, change: Partial<Ticket> = {}): Ticket {
  return {
    v: 1,
    account,
    key: "key_0000000000",
    request,
    ordinal: 0,
    node: NODE,
    region: REGION,
    model: "tiny",
    from: 0,
    prompt: 0,
    cached: 0,
    promptCeiling: 100,
    outputCeiling: 100,
    issuedAtMs: 1,
    price: PRICE,
    ...change,
  };
}

/** Under the current secret. */
export async function seal(ticket: Ticket): Promise<string> {
  const secrets = secretsOf(env);
  const key = await ticketKey(secrets, secrets.current, ticket.node);
  if (key === undefined) throw new Error("the tests' secret is missing");
  return sealTicket(secrets.current, key, ticket, crypto.getRandomValues(new Uint8Array(12)));
}
