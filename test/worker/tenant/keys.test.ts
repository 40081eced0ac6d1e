/** Keys that a customer's key makes: never more than their maker, and gone with it. */
import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { KEYS_BELOW_MAX } from "../../../src/account/key-deeds.ts";
import { app } from "../../../src/app.ts";
import { checkKey } from "../../../src/auth/key.ts";
import { accountObject } from "../../../src/core/env.ts";
import { newRequest, PRICE } from "../account/support.ts";
import { ask, newAccount, secretsOf, type Reply } from "../admin/support.ts";

async function call(key: string, method: string, path: string, body?: unknown): Promise<Reply> {
  const init = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const request = new Request(`https://edge.example.com/v1/keys${path}`, {
    method,
    headers: { authorization: `Bearer ${key}` },
    ...init,
  });
  const response = await app.fetch(request, env, createExecutionContext());
  return { status: response.status, body: await response.json() };
}

/** A key that may make others, with these limits. */
async function maker(
  settings: Record<string, unknown> = {},
): Promise<{ account: string; id: string; secret: string }> {
  const account = await newAccount();
  await ask("POST", `/accounts/${account}/credits`, { creditId: "c", amountUsd: "10" });
  const scopes = ["inference", "usage", "keys"];
  const made = await ask("POST", `/accounts/${account}/keys`, { name: "maker", scopes, ...settings });
  return { account, id: made.body.key.id, secret: made.body.key.secret };
}

/** What the account's object says to a request with this key; it may cost a tenth of a cent. */
async function admitWith(secret: string): Promise<string> {
  const key = await checkKey(secretsOf(env), secret);
  if (key === undefined) return "not a key";
  const verdict = await accountObject(env, key.account).admit({
    v: 1,
    account: key.account,
    key: { id: key.keyId, secretSha256: key.secretSha256 },
    request: newRequest(),
    model: "tiny",
    stream: true,
    promptCeiling: 500,
    outputAsked: 500,
    outputDefault: 500,
    price: PRICE,
  });
  if (verdict.ok) return "admitted";
  const { refusal } = verdict;
  return "scope" in refusal ? `${refusal.kind} of the ${refusal.scope}` : refusal.kind;
}

describe("POST /v1/keys", () => {
  test("makes a key that works, with what its maker has where nothing else is said", async ({ expect }) => {
    const { secret, id } = await maker({ models: null, regions: ["here"], requestsPerMinute: 60 });
    const made = await call(secret, "POST", "", { name: "app", limits: { budget_day_usd: "1.50" } });
    expect(made).toMatchObject({
      status: 201,
      body: {
        object: "key",
        name: "app",
        made_by: id,
        scopes: ["inference", "usage"],
        models: null,
        regions: ["here"],
        limits: { requests_per_minute: 60, budget_day_usd: "1.50", concurrency: null },
      },
    });
    expect(made.body.shown).toBe(`sk-sluice-...${made.body.secret.slice(-4)}`);
    expect(await admitWith(made.body.secret)).toBe("admitted");
  });

  const HAS = {
    expiresAtMs: Date.now() + 3_600_000,
    regions: ["here"],
    requestsPerDay: 10,
    budgetMonthNanoUsd: 5_000_000_000,
  };
  const WIDER: readonly (readonly [string, Record<string, unknown>])[] = [
    ["expires_at", { expires_at: null }],
    ["expires_at", { expires_at: Math.ceil(HAS.expiresAtMs / 1_000) + 60 }],
    ["regions", { regions: null }],
    ["regions", { regions: ["here", "there"] }],
    ["limits.requests_per_day", { limits: { requests_per_day: 11 } }],
    ["limits.requests_per_day", { limits: { requests_per_day: null } }],
    ["limits.budget_month_usd", { limits: { budget_month_usd: "5.01" } }],
    ["limits.budget_day_usd", { limits: { budget_day_usd: "-1" } }],
    ["allowed_routes", { allowed_routes: ["*"] }],
    ["name", { name: "" }],
  ];
  test.for(WIDER)("refuses %s as in %j, and names it", async ([param, more], { expect }) => {
    const { secret } = await maker(HAS);
    const { status, body } = await call(secret, "POST", "", { name: "x", ...more });
    expect([status, body.error.code, body.error.param]).toEqual([400, "invalid_request", param]);
    expect((await call(secret, "GET", "")).body.data).toEqual([]);
  });

  test("gives no scope that the maker has not, and nothing to a key that may not make keys", async ({
    expect,
  }) => {
    const { secret } = await maker({ scopes: ["keys"] });
    const none = await call(secret, "POST", "", { name: "x" });
    expect([none.status, none.body.error.param]).toEqual([400, "scopes"]);
    const below = await call(secret, "POST", "", { name: "x", scopes: ["keys"] });
    expect(await admitWith(below.body.secret)).toBe("scope_missing of the inference");
    const plain = await maker({ scopes: ["inference", "usage"] });
    for (const [method, path] of [
      ["POST", ""],
      ["GET", ""],
    ] as const)
      expect(
        (await call(plain.secret, method, path, method === "POST" ? { name: "x" } : undefined)).body.error
          .code,
      ).toBe("scope_missing");
    expect((await call("sk-sluice-nonsense", "POST", "", { name: "x" })).status).toBe(401);
    expect((await call(secret, "POST", "", "{")).status).toBe(400);
  });

  test("makes no more below a key than may be, whichever key below it makes them", async ({ expect }) => {
    const { account, secret } = await maker();
    const child = (await call(secret, "POST", "", { name: "child", scopes: ["inference", "keys"] })).body;
    await runInDurableObject(accountObject(env, account) as DurableObjectStub, (_, { storage }) => {
      // With the child itself: as many as its maker may have, and one less than it may have itself.
      for (let n = 1; n < KEYS_BELOW_MAX; n++)
        storage.sql.exec(
          "INSERT INTO keys (id, name, secret_sha256, made_by) VALUES (?, 'x', '', ?)",
          `key_${n}`,
          child.id,
        );
    });
    for (const key of [child.secret, secret])
      expect(await call(key, "POST", "", { name: "one more" })).toMatchObject({ status: 400 });
  });

  test("goes four deep and no deeper", async ({ expect }) => {
    let { secret } = await maker();
    const scopes = ["inference", "keys"];
    for (let depth = 2; depth <= 4; depth++) {
      const made = await call(secret, "POST", "", { name: `at ${depth}`, scopes });
      expect(made.status).toBe(201);
      secret = made.body.secret;
    }
    expect(await call(secret, "POST", "", { name: "too deep", scopes })).toMatchObject({ status: 400 });
    expect(await admitWith(secret)).toBe("admitted");
  });
});

describe("a key that another made", () => {
  test("spends of its maker's budget: no number of keys exceeds the one that made them", async ({
    expect,
  }) => {
    const { secret } = await maker({ budgetTotalNanoUsd: 2_500_000 });
    const keys = await Promise.all(
      [1, 2, 3].map(async (n) => (await call(secret, "POST", "", { name: `${n}` })).body.secret as string),
    );
    const said: string[] = [];
    for (const key of keys) said.push(await admitWith(key));
    expect(said).toEqual(["admitted", "admitted", "budget_exceeded of the maker"]);
    expect(await admitWith(secret)).toBe("budget_exceeded of the key");
  });

  test("starts nothing from the moment its maker is revoked, and neither do those that it made", async ({
    expect,
  }) => {
    const { account, id, secret } = await maker();
    const child = await call(secret, "POST", "", { name: "child", scopes: ["inference", "keys"] });
    const grandchild = await call(child.body.secret, "POST", "", { name: "grandchild" });
    expect(await admitWith(grandchild.body.secret)).toBe("admitted");
    await ask("DELETE", `/accounts/${account}/keys/${id}`);
    for (const key of [secret, child.body.secret, grandchild.body.secret])
      expect(await admitWith(key)).toBe("key_revoked");
    expect((await call(child.body.secret, "GET", "")).body.error.code).toBe("api_key_revoked");
    const shown = await ask("GET", `/accounts/${account}/keys/${grandchild.body.id}`);
    expect(shown.body.key.revokedAtMs).toBeGreaterThan(0);
  });

  test("can be renamed and narrowed by its makers, widened to what its maker has and no further", async ({
    expect,
  }) => {
    const { account, secret } = await maker({ requestsPerDay: 10, regions: ["here", "there"] });
    const child = (await call(secret, "POST", "", { name: "child", scopes: ["inference", "keys"] })).body;
    const grandchild = (await call(child.secret, "POST", "", { name: "grandchild" })).body;
    const path = `/${grandchild.id}`;
    expect(await admitWith(grandchild.secret)).toBe("admitted");
    const narrowed = await call(secret, "PATCH", path, {
      name: "small",
      regions: ["here"],
      limits: { budget_total_usd: "0.001" },
    });
    expect(narrowed).toMatchObject({
      status: 200,
      body: { name: "small", regions: ["here"], limits: { budget_total_usd: "0.001", requests_per_day: 10 } },
    });
    // From the next call on; what it was not told stays.
    expect(await admitWith(grandchild.secret)).toBe("budget_exceeded of the key");
    const listed = (await ask("GET", `/accounts/${account}/keys`)).body.keys;
    expect(listed.find(({ id }: { id: string }) => id === grandchild.id).name).toBe("small");
    const back = await call(child.secret, "PATCH", path, {
      regions: ["here", "there"],
      limits: { budget_total_usd: null },
    });
    expect(back.body).toMatchObject({ name: "small", regions: ["here", "there"] });
    // Its maker was narrowed meanwhile: that is the measure, also for the maker's maker.
    await call(secret, "PATCH", `/${child.id}`, { limits: { requests_per_day: 5 } });
    for (const [param, change] of [
      ["limits.requests_per_day", { limits: { requests_per_day: 6 } }],
      ["regions", { regions: ["elsewhere"] }],
      ["scopes", { scopes: ["usage"] }],
      ["expires_at", { expires_at: 1 }],
      ["secret", { secret: "mine" }],
    ] as const)
      expect(await call(secret, "PATCH", path, change)).toMatchObject({
        status: 400,
        body: { error: { param } },
      });
    for (const own of [secret, child.secret])
      expect(
        (await call(own, "PATCH", `/${own === secret ? "key_zzzzzzzzzz" : child.id}`, { name: "x" })).status,
      ).toBe(404);
  });

  test("gets no more than any key above it has, also where one of them was narrowed since", async ({
    expect,
  }) => {
    const { account, id, secret } = await maker({ scopes: ["inference", "keys"] });
    const child = (await call(secret, "POST", "", { name: "child", scopes: ["inference", "keys"] })).body;
    const grandchild = (await call(child.secret, "POST", "", { name: "grandchild" })).body;
    const narrowed = { models: ["tiny"], budgetTotalNanoUsd: 10_000_000_000 };
    expect(await accountObject(env, account).changeKey(id, narrowed)).toBe(true);
    for (const [param, more] of [
      ["models", { models: null }],
      ["limits.budget_total_usd", { limits: { budget_total_usd: "1000000" } }],
    ] as const) {
      const refused = { status: 400, body: { error: { param } } };
      for (const key of [secret, child.secret])
        expect(await call(key, "PATCH", `/${grandchild.id}`, more)).toMatchObject(refused);
      expect(await call(child.secret, "POST", "", { name: "another", ...more })).toMatchObject(refused);
    }
    const less = { models: ["tiny"], limits: { budget_total_usd: "10" } };
    expect((await call(child.secret, "PATCH", `/${grandchild.id}`, less)).status).toBe(200);
    expect((await call(child.secret, "POST", "", { name: "another", ...less })).status).toBe(201);
  });

  test("can be listed, given a new secret and revoked by its makers, and by no other key", async ({
    expect,
  }) => {
    const { account, secret } = await maker();
    const child = (await call(secret, "POST", "", { name: "child", scopes: ["inference", "keys"] })).body;
    const grandchild = (await call(child.secret, "POST", "", { name: "grandchild" })).body;
    const list = await call(secret, "GET", "");
    expect(list.body.data.map(({ name }: { name: string }) => name).toSorted()).toEqual([
      "child",
      "grandchild",
    ]);
    const text = JSON.stringify(list.body);
    for (const { secret: shown } of [child, grandchild]) expect(text).not.toContain(shown.split("-").at(-2));

    const rotated = await call(secret, "POST", `/${grandchild.id}/rotate`, { overlap_s: 0 });
    expect(await admitWith(grandchild.secret)).toBe("unknown_key");
    expect(await admitWith(rotated.body.secret)).toBe("admitted");

    const other = await call(secret, "POST", "", { name: "other", scopes: ["keys"] });
    for (const path of [`/${grandchild.id}`, `/${child.id}`, "/key_zzzzzzzzzz", "/nonsense"])
      expect((await call(other.body.secret, "DELETE", path)).status).toBe(404);
    expect((await call(child.secret, "DELETE", `/${child.id}`)).status).toBe(404);
    const gone = await call(secret, "DELETE", `/${grandchild.id}`);
    expect(gone.body.revoked_at).toBeGreaterThan(0);
    expect(await admitWith(rotated.body.secret)).toBe("key_revoked");
    const listed = (await ask("GET", `/accounts/${account}/keys`)).body.keys;
    expect(listed.find(({ id }: { id: string }) => id === grandchild.id).revokedAtMs).toBeGreaterThan(0);
  });
});
