/** No secret that the edge hands out or is shown stays anywhere: no column of D1, no key or value of KV, no error body, no log. */
import { env } from "cloudflare:workers";
import { afterEach, describe, test, vi } from "vitest";
import { newCustomer } from "../tenant/support.ts";
import { ask } from "./support.ts";

const PROMPT = "the planted prompt of this test";

afterEach(() => vi.restoreAllMocks());

async function everythingInD1(): Promise<string> {
  const tables = await env.DB.prepare("select name from sqlite_master where type = 'table'").all<{
    name: string;
  }>();
  const names = tables.results.map(({ name }) => name).filter((name) => !/^(_|sqlite_|d1_)/.test(name));
  const rows = await Promise.all(names.map((name) => env.DB.prepare(`select * from "${name}"`).all()));
  return JSON.stringify(rows.map(({ results }) => results));
}

async function everythingInKv(): Promise<string> {
  const { keys } = await env.KV.list();
  const values = await Promise.all(keys.map(({ name }) => env.KV.get(name)));
  return JSON.stringify([keys, values]);
}

describe("a secret", () => {
  test("is in no column, no key or value, no error and no log", async ({ expect }) => {
    const logged: string[] = [];
    for (const method of ["log", "error"] as const)
      vi.spyOn(console, method).mockImplementation((...words) => void logged.push(JSON.stringify(words)));
    const customer = await newCustomer();
    const made = await ask("POST", "/admin-keys", { name: "ci", scopes: ["accounts:read"] });
    const adminKey = made.body.adminKey.secret as string;
    const invited = await ask("POST", "/nodes/join-tokens", {
      name: "n",
      region: "r",
      url: "https://gpu.example.com",
    });
    const joinToken = invited.body.joinToken as string;
    await ask("PUT", "/models/planted", {
      contextTokens: 10,
      outputTokensDefault: 5,
      price: { inputMicroUsdPerM: 1, cachedMicroUsdPerM: 1, outputMicroUsdPerM: 1 },
    });
    const { secret } = customer;
    const said = [
      await ask("GET", "/accounts", undefined, { token: secret }),
      await ask("GET", `/accounts/${customer.account}/keys/${secret}`),
      await ask("DELETE", `/accounts/${customer.account}/keys/${secret}`),
      await ask("DELETE", `/admin-keys/${adminKey}`),
      await ask("POST", "/accounts", { name: "x", home: PROMPT }, { token: adminKey }),
      await ask("POST", "/nodes/join-tokens", {
        name: joinToken,
        region: PROMPT,
        url: "https://a.example.com",
      }),
      await customer.get(`/v1/generation?id=${secret}`),
      await customer.get(`/v1/usage?page=${secret}`),
      await customer.get("/v1/key", { key: adminKey }),
      await customer.get("/user/balance", { key: `${secret}x` }),
    ];
    expect(said.every(({ status }) => status >= 400)).toBe(true);
    const everywhere = {
      d1: await everythingInD1(),
      kv: await everythingInKv(),
      errors: JSON.stringify(said.map(({ body }) => body)),
      log: logged.join("\n"),
    };
    // The part of a key that opens anything; its beginning names its account, which is no secret.
    const secrets = [
      secret.slice(-45),
      adminKey.slice(-32),
      joinToken.slice(-32),
      env.SLUICE_ADMIN_TOKEN,
      PROMPT,
    ];
    for (const [where, text] of Object.entries(everywhere))
      for (const word of secrets)
        expect(text.includes(word), `${where} has ${word.slice(0, 6)}...`).toBe(false);
    expect(everywhere.d1).toContain(customer.account);
    expect(everywhere.kv).toContain("planted");
  });
});
