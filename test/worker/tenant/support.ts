/** A customer: an account with a key made over the admin interface, and the whole app to ask with it. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { app } from "../../../src/app.ts";
import type { Env } from "../../../src/core/env.ts";
import { ask, newAccount, type Reply } from "../admin/support.ts";

export type Customer = {
  readonly account: string;
  readonly keyId: string;
  readonly secret: string;
  get(path: string, as?: { readonly key?: string | null; readonly env?: Partial<Env> }): Promise<Reply>;
};

export async function newCustomer(creditUsd = "10.00"): Promise<Customer> {
  const account = await newAccount();
  if (creditUsd !== "0")
    await ask("POST", `/accounts/${account}/credits`, { creditId: "c", amountUsd: creditUsd });
  const { body } = await ask("POST", `/accounts/${account}/keys`, { name: "mine", requestsPerMinute: 60 });
  const { id: keyId, secret } = body.key as { id: string; secret: string };
  return {
    account,
    keyId,
    secret,
    async get(path, as = {}) {
      const key = as.key === undefined ? secret : as.key;
      const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` };
      const request = new Request(`https://edge.example.com${path}`, { headers });
      const response = await app.fetch(request, { ...env, ...as.env }, createExecutionContext());
      return { status: response.status, body: await response.json() };
    },
  };
}
