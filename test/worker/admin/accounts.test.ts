/** Accounts, their credit and their keys, from the admin's chair; the account's object is the real one. */
import { NEWEST } from "@sluice/protocol/version";
import { ulid } from "@sluice/protocol/ids";
import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { checkKey } from "../../../src/auth/key.ts";
import { accountObject } from "../../../src/core/env.ts";
import { ask, newAccount, secretsOf } from "./support.ts";

/** What the object says to a call with this key. */
async function admitWith(secret: string) {
  const key = await checkKey(secretsOf(env), secret);
  if (key === undefined) return "not a key";
  const verdict = await accountObject(env, key.account).admit({
    v: NEWEST,
    account: key.account,
    key: { id: key.keyId, secretSha256: key.secretSha256 },
    request: `req_${ulid(Date.now(), crypto.getRandomValues(new Uint8Array(16)))}`,
    model: "tiny",
    stream: true,
    promptCeiling: 100,
    outputAsked: 100,
    outputDefault: 100,
    price: { id: "p", inputMicroUsdPerM: 1_000, cachedMicroUsdPerM: 1_000, outputMicroUsdPerM: 1_000 },
  });
  return verdict.ok ? "admitted" : verdict.refusal.kind;
}

describe("an account", () => {
  test("is made with a home in its id, and found again in object and list", async ({ expect }) => {
    const made = await ask("POST", "/accounts", { name: " Ada ", concurrency: 5, regions: ["here"] });
    expect(made.status).toBe(201);
    const { id } = made.body.account;
    expect(id).toMatch(/^acc_any_[0-9a-z]{12}$/);
    expect(await ask("GET", `/accounts/${id}`)).toMatchObject({
      status: 200,
      body: { account: { id, name: "Ada", suspended: false, balanceUsd: "0.00" } },
    });
    const { body } = await ask("GET", "/accounts?limit=1");
    expect(body.accounts).toMatchObject([{ id, name: "Ada" }]);
  });

  test("that is not there is not made by changing it, crediting it or giving it a key", async ({
    expect,
  }) => {
    const id = "acc_any_zzzzzzzzzzzz";
    const credit = { creditId: "c1", amountUsd: "1" };
    expect((await ask("PATCH", `/accounts/${id}`, { name: "x" })).status).toBe(404);
    expect((await ask("POST", `/accounts/${id}/credits`, credit)).status).toBe(404);
    expect((await ask("POST", `/accounts/${id}/keys`, { name: "k" })).status).toBe(404);
    expect((await ask("GET", `/accounts/${id}/keys`)).status).toBe(404);
    expect((await ask("GET", `/accounts/${id}`)).status).toBe(404);
    for (const odd of ["' or 1=1 --", "acc_moon_zzzzzzzzzzzz", "acc_eu_zzzzzzzzzzzz"])
      expect((await ask("GET", `/accounts/${odd}`)).status).toBe(404);
  });

  test("of a jurisdiction is not made in a local run, which has none", async ({ expect }) => {
    const { status, body } = await ask("POST", "/accounts", { name: "x", home: "eu" });
    expect({ status, param: body.error.issues[0].param }).toEqual({ status: 400, param: "home" });
  });

  test("can be renamed and suspended", async ({ expect }) => {
    const id = await newAccount();
    const changed = await ask("PATCH", `/accounts/${id}`, { name: "New", suspended: true });
    expect(changed).toMatchObject({ status: 200, body: { account: { name: "New", suspended: true } } });
    expect((await ask("GET", "/accounts?limit=1")).body.accounts).toMatchObject([{ id, name: "New" }]);
    expect((await ask("PATCH", `/accounts/${id}`, {})).status).toBe(400);
  });

  test("lists in pages that neither repeat nor miss one", async ({ expect }) => {
    const made = [];
    for (let i = 0; i < 5; i++) made.push(await newAccount());
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null && seen.length < 100) {
      const { body } = await ask("GET", `/accounts?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      seen.push(...body.accounts.map((row: { id: string }) => row.id));
      cursor = body.next;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(made));
    expect((await ask("GET", "/accounts?cursor=nonsense")).body.error.issues[0].param).toBe("cursor");
    expect((await ask("GET", "/accounts?limit=100000")).body.error.issues[0].param).toBe("limit");
  });
});

describe("a credit", () => {
  test("is given once, however often it is sent, and can be taken back by another", async ({ expect }) => {
    const id = await newAccount();
    const credit = { creditId: "first", amountUsd: "12.34", note: "welcome" };
    for (let i = 0; i < 3; i++)
      expect(await ask("POST", `/accounts/${id}/credits`, credit)).toMatchObject({
        status: 200,
        body: { balanceNanoUsd: 12_340_000_000, balanceUsd: "12.34" },
      });
    const back = { creditId: "second", amountNanoUsd: -340_000_000 };
    expect((await ask("POST", `/accounts/${id}/credits`, back)).body.balanceUsd).toBe("12.00");
  });

  test("under an id that was given with another amount or kind is refused, and gives nothing", async ({
    expect,
  }) => {
    const id = await newAccount();
    const give = (credit: object) =>
      ask("POST", `/accounts/${id}/credits`, { creditId: "invoice-7", amountUsd: "5", ...credit });
    await give({});
    for (const other of [{ amountUsd: "50" }, { kind: "granted" }])
      expect(await give(other)).toMatchObject({
        status: 409,
        body: { error: { code: "conflict", issues: [{ param: "creditId" }] } },
      });
    expect(await give({ amountUsd: "5.00" })).toMatchObject({ status: 200, body: { balanceUsd: "5.00" } });
  });

  test("beyond what a balance can say exactly is refused, and what can be given outlives a restart", async ({
    expect,
  }) => {
    const id = await newAccount();
    const give = (nr: number, amountUsd = "1000000") =>
      ask("POST", `/accounts/${id}/credits`, { creditId: `c${nr}`, amountUsd });
    const statuses: number[] = [];
    for (let nr = 0; nr < 10; nr++) statuses.push((await give(nr)).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 200, 200, 400, 400]);
    expect((await give(10, "0.01")).body.error.issues[0].param).toBe("amountUsd");
    await evictDurableObject(accountObject(env, id));
    expect((await ask("GET", `/accounts/${id}`)).body.account.balanceUsd).toBe("8000000.00");
    expect((await give(11, "-0.01")).body.balanceUsd).toBe("7999999.99");
  });

  const WRONG = [
    [{ amountUsd: "twelve" }, "amountUsd"],
    [{ amountUsd: "0.00" }, "amountUsd"],
    [{ amountUsd: "1000000.01" }, "amountUsd"],
    [{ amountUsd: 12 }, "amountUsd"],
    [{ amountNanoUsd: 0.5 }, "amountNanoUsd"],
    [{ amountNanoUsd: 9_000_000_000_000_000 }, "amountNanoUsd"],
    [{ amountUsd: "1", amountNanoUsd: 1 }, "amountUsd"],
    [{}, "amountUsd"],
    [{ creditId: "", amountUsd: "1" }, "creditId"],
  ] as const;
  test.for(WRONG)("of %j is refused by name of the field", async ([credit, param], { expect }) => {
    const id = await newAccount();
    const { status, body } = await ask("POST", `/accounts/${id}/credits`, { creditId: "c", ...credit });
    expect(status).toBe(400);
    expect(body.error.issues[0].param).toBe(param);
  });
});

describe("a key", () => {
  test("is shown once, works, and starts nothing after it was revoked", async ({ expect }) => {
    const id = await newAccount();
    await ask("POST", `/accounts/${id}/credits`, { creditId: "c", amountUsd: "10" });
    const made = await ask("POST", `/accounts/${id}/keys`, { name: "laptop" });
    expect(made.status).toBe(201);
    const { secret, id: keyId } = made.body.key;
    expect(await admitWith(secret)).toBe("admitted");

    const list = await ask("GET", `/accounts/${id}/keys`);
    expect(list.body.keys).toMatchObject([{ id: keyId, name: "laptop", revokedAtMs: null }]);
    expect(list.body.keys[0].shown).toBe(`sk-sluice-...${secret.slice(-4)}`);
    expect(JSON.stringify(list.body)).not.toContain(secret);

    expect(await ask("DELETE", `/accounts/${id}/keys/${keyId}`)).toMatchObject({ status: 200 });
    expect(await admitWith(secret)).toBe("key_revoked");
    const after = await ask("GET", `/accounts/${id}/keys`);
    expect(after.body.keys[0].revokedAtMs).toBeGreaterThan(0);
  });

  test("can be looked at, changed and given a new secret, and its list shows how that one ends", async ({
    expect,
  }) => {
    const id = await newAccount({ tokensPerMinute: 90_000 });
    await ask("POST", `/accounts/${id}/credits`, { creditId: "c", amountUsd: "10" });
    const limits = { requestsPerDay: 9, budgetMonthNanoUsd: 5_000_000_000, regions: ["here"] };
    const made = (await ask("POST", `/accounts/${id}/keys`, { name: "k", ...limits })).body.key;
    const path = `/accounts/${id}/keys/${made.id}`;
    expect(await admitWith(made.secret)).toBe("admitted");
    const changed = await ask("PATCH", path, { name: "new", requestsPerDay: 1 });
    expect(changed.body.key).toMatchObject({
      ...limits,
      name: "new",
      requestsPerDay: 1,
      used: { requestsToday: 1 },
    });
    expect(await admitWith(made.secret)).toBe("rate_limited");
    await ask("PATCH", path, { requestsPerDay: null });

    const rotated = (await ask("POST", `${path}/rotate`, { overlapS: 0 })).body.key;
    expect(rotated.secret).not.toBe(made.secret);
    expect(await admitWith(made.secret)).toBe("unknown_key");
    expect(await admitWith(rotated.secret)).toBe("admitted");
    const { body } = await ask("GET", `/accounts/${id}/keys`);
    expect(body.keys[0]).toMatchObject({ name: "new", shown: `sk-sluice-...${rotated.secret.slice(-4)}` });
    const shown = await ask("GET", path);
    expect(shown.body.key).toMatchObject({
      id: made.id,
      scopes: ["inference", "usage"],
      oldSecretUntilMs: null,
    });
    for (const text of [JSON.stringify(shown.body), JSON.stringify(body)])
      expect(text).not.toContain(rotated.secret.split("-").at(-2));
    for (const method of ["GET", "PATCH", "DELETE"])
      expect(
        (
          await ask(
            method,
            `/accounts/${id}/keys/key_zzzzzzzzzz`,
            method === "PATCH" ? { name: "x" } : undefined,
          )
        ).status,
      ).toBe(404);
    expect((await ask("PATCH", path, { budgetDayNanoUsd: -1 })).body.error.issues[0].param).toBe(
      "budgetDayNanoUsd",
    );
  });

  test("is nowhere in D1, nor is its secret", async ({ expect }) => {
    const id = await newAccount();
    const { secret } = (await ask("POST", `/accounts/${id}/keys`, { name: "k" })).body.key;
    const rows = await env.DB.prepare("select * from keys").all();
    const text = JSON.stringify(rows.results);
    expect(text).toContain(id);
    for (const part of [secret, secret.split("-").at(-2)]) expect(text).not.toContain(part);
  });

  test("of another account cannot be revoked through this one", async ({ expect }) => {
    const [mine, yours] = [await newAccount(), await newAccount()];
    const { id: keyId } = (await ask("POST", `/accounts/${yours}/keys`, { name: "k" })).body.key;
    expect((await ask("DELETE", `/accounts/${mine}/keys/${keyId}`)).status).toBe(404);
    expect((await ask("GET", `/accounts/${yours}/keys`)).body.keys[0].revokedAtMs).toBeNull();
  });

  test("cannot be made for a model that is not there, or for the past", async ({ expect }) => {
    const id = await newAccount();
    const model = await ask("POST", `/accounts/${id}/keys`, { name: "k", models: ["nope"] });
    expect(model.body.error.issues[0].param).toBe("models.0");
    const past = await ask("POST", `/accounts/${id}/keys`, { name: "k", expiresAtMs: 1 });
    expect(past.body.error.issues[0].param).toBe("expiresAtMs");
    const powers = await ask("POST", `/accounts/${id}/keys`, { name: "k", allowedRoutes: ["*"] });
    expect(powers.status).toBe(400);
  });
});
