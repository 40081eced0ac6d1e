/** An admin: calls the interface through its real guard, against the real objects and tables. */
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { adminApp } from "../../../src/admin/app.ts";
import type { Env } from "../../../src/core/env.ts";
import { parseSecrets } from "../../../src/core/secrets.ts";

export const secretsOf = (bindings: Env) => parseSecrets(bindings.SLUICE_SECRETS);
export const app = new Hono<{ Bindings: Env }>().route("/admin/v1", adminApp({ secretsOf }));

// oxlint-disable-next-line typescript/no-explicit-any -- what comes back is looked at field by field
export type Reply = { readonly status: number; readonly body: any };

export async function ask(
  method: string,
  path: string,
  input?: unknown,
  as: { readonly token?: string | null; readonly env?: Partial<Env> } = {},
): Promise<Reply> {
  const token = as.token === undefined ? env.SLUICE_ADMIN_TOKEN : as.token;
  const request = new Request(`https://edge.example.com/admin/v1${path}`, {
    method,
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    ...(input === undefined ? {} : { body: typeof input === "string" ? input : JSON.stringify(input) }),
  });
  const response = await app.fetch(request, { ...env, ...as.env });
  return { status: response.status, body: await response.json() };
}

export async function newAccount(settings: Record<string, unknown> = {}): Promise<string> {
  const { body } = await ask("POST", "/accounts", { name: "test", ...settings });
  return body.account.id as string;
}
