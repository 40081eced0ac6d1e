/** A request of a customer that has been admitted, as the way of a request would do it. */
import { env } from "cloudflare:workers";
import { parseKey } from "../../../src/auth/key.ts";
import { accountObject } from "../../../src/core/env.ts";
import { newRequest, PRICE } from "../account/support.ts";
import type { Customer } from "./support.ts";

async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function admitted(customer: Customer): Promise<string> {
  const secret = parseKey(customer.secret)?.secret ?? "";
  const request = newRequest();
  const verdict = await accountObject(env, customer.account).admit({
    v: 1,
    account: customer.account,
    key: { id: customer.keyId, secretSha256: await sha256Hex(secret) },
    request,
    model: "tiny",
    stream: true,
    promptCeiling: 100,
    outputAsked: 100,
    outputDefault: 100,
    price: PRICE,
  });
  if (!verdict.ok) throw new Error(`refused: ${verdict.refusal.kind}`);
  return request;
}
