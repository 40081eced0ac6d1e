/** Admin keys do what their scopes say and no more, end at once when they are revoked, and leave a trace in the audit. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { scopeFor, SCOPES } from "../../../src/admin/scopes.ts";
import { app, ask, newAccount } from "./support.ts";

async function keyWith(scopes: readonly string[], more: Record<string, unknown> = {}, token?: string) {
  const as = token === undefined ? {} : { token };
  const { body } = await ask("POST", "/admin-keys", { name: "helper", scopes, ...more }, as);
  return body.adminKey as { id: string; secret: string; shown: string; expiresAtMs: number | null };
}

describe("an admin key", () => {
  test("does what its scopes say, and is told which one it lacks", async ({ expect }) => {
    const account = await newAccount();
    const { secret: token } = await keyWith(["accounts:read", "credit:write"]);
    expect((await ask("GET", `/accounts/${account}`, undefined, { token })).status).toBe(200);
    const credit = { creditId: "c1", amountUsd: "1.00" };
    expect((await ask("POST", `/accounts/${account}/credits`, credit, { token })).status).toBe(200);
    for (const [method, path, lacks] of [
      ["PATCH", `/accounts/${account}`, "accounts:write"],
      ["POST", `/accounts/${account}/keys`, "keys:write"],
      ["GET", `/accounts/${account}/usage`, "usage:read"],
      ["PUT", "/models/m", "models:write"],
      ["POST", "/nodes/join-tokens", "nodes:write"],
      ["GET", "/audit", "audit:read"],
      ["POST", "/admin-keys", "admin-keys"],
      ["GET", "/no-such-route", "token alone"],
    ] as const) {
      const { status, body } = await ask(method, path, method === "GET" ? undefined : { name: "x" }, {
        token,
      });
      expect([status, body.error.code]).toEqual([403, "forbidden"]);
      expect(body.error.message).toContain(lacks);
    }
  });

  test("cannot make one that may do more, or lives longer, than itself", async ({ expect }) => {
    const expiresAtMs = Date.now() + 60_000;
    const { secret: token, id } = await keyWith(["admin-keys", "usage:read"], { expiresAtMs });
    const more = await ask(
      "POST",
      "/admin-keys",
      { name: "x", scopes: ["usage:read", "credit:write"] },
      { token },
    );
    expect([more.status, more.body.error.issues[0].param]).toEqual([400, "scopes.1"]);
    for (const later of [null, expiresAtMs + 1]) {
      const input = { name: "x", scopes: ["usage:read"], expiresAtMs: later };
      const { status, body } = await ask("POST", "/admin-keys", input, { token });
      expect([status, body.error.issues[0].param]).toEqual([400, "expiresAtMs"]);
    }
    const child = await keyWith(["usage:read"], {}, token);
    expect(child.expiresAtMs).toBe(expiresAtMs);
    const revoked = await ask("DELETE", `/admin-keys/${id}`);
    expect(revoked.body).toEqual({ id, revoked: true, liveKeysItMade: [child.id] });
  });

  test("is nobody from the call after its revocation on, and after its expiry", async ({ expect }) => {
    const { id, secret: token } = await keyWith(["accounts:read"]);
    expect((await ask("GET", "/accounts", undefined, { token })).status).toBe(200);
    await ask("DELETE", `/admin-keys/${id}`);
    expect((await ask("GET", "/accounts", undefined, { token })).status).toBe(401);
    const short = await keyWith(["accounts:read"], { expiresAtMs: Date.now() + 3_600_000 });
    await env.DB.prepare("update admin_keys set expires_at_ms = 1 where id = ?").bind(short.id).run();
    expect((await ask("GET", "/accounts", undefined, { token: short.secret })).status).toBe(401);
  });

  test("with another secret, or unknown, is refused like any stranger", async ({ expect }) => {
    const { secret } = await keyWith(["accounts:read"]);
    const wrong = `${secret.slice(0, -1)}${secret.endsWith("0") ? "1" : "0"}`;
    const unknown = `sk-admin-0000000000-${"0".repeat(32)}`;
    for (const token of [wrong, unknown, secret.toUpperCase(), "sk-admin-' or 1=1 --"])
      expect((await ask("GET", "/accounts", undefined, { token })).status).toBe(401);
  });

  test("is stored as a hash, and listed by its last four characters", async ({ expect }) => {
    const { id, secret } = await keyWith(["models:read"]);
    const row = await env.DB.prepare("select * from admin_keys where id = ?").bind(id).first();
    expect(JSON.stringify(row)).not.toContain(secret.slice(-32));
    const { body } = await ask("GET", "/admin-keys?limit=1");
    expect(body.adminKeys[0]).toMatchObject({ id, scopes: ["models:read"], madeBy: "token" });
    expect(body.adminKeys[0].shown).toBe(`sk-admin-...${secret.slice(-4)}`);
    expect(JSON.stringify(body)).not.toContain(secret.slice(-32));
  });

  test("has a scope for every route there is", ({ expect }) => {
    const routes = app.routes.filter(({ path, method }) => method !== "ALL" && !path.endsWith("*"));
    expect(routes.length).toBeGreaterThan(20);
    const closed = routes.filter(
      ({ method, path }) => scopeFor(method, path.replace("/admin/v1", "")) === undefined,
    );
    expect(closed.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
    const used = new Set(routes.map(({ method, path }) => scopeFor(method, path.replace("/admin/v1", ""))));
    expect(SCOPES.filter((scope) => used.has(scope)).length).toBeGreaterThan(8);
  });
});

describe("the audit log", () => {
  test("has who did what to whom and how it ended, and nothing that is secret", async ({ expect }) => {
    const { id: actor, secret: token } = await keyWith(["accounts:read", "accounts:write", "keys:write"]);
    const made = await ask("POST", "/accounts", { name: "a private name" }, { token });
    const account = made.body.account.id as string;
    const key = await ask("POST", `/accounts/${account}/keys`, { name: "k" }, { token });
    await ask("POST", `/accounts/${account}/credits`, { creditId: "c", amountUsd: "1" }, { token });
    await ask("PATCH", `/accounts/${account}`, { requestsPerMinut: 1 }, { token });
    await ask("DELETE", `/accounts/${account}/keys/${key.body.key.secret}`, undefined, { token });
    await ask("GET", `/accounts/${account}`, undefined, { token });
    const { body } = await ask("GET", `/audit?actor=${actor}`);
    const lines = body.audit.map((row: Record<string, unknown>) => [
      row["action"],
      row["target"],
      row["status"],
    ]);
    expect(lines.toReversed()).toEqual([
      ["POST /accounts", `/accounts/${account}`, 201],
      ["POST /accounts/:account/keys", `/accounts/${account}/keys/${key.body.key.id}`, 201],
      ["POST /accounts/:account/credits", `/accounts/${account}/credits`, 403],
      ["PATCH /accounts/:account", `/accounts/${account}`, 400],
      ["DELETE /accounts/:account/keys/:key", `/accounts/${account}/keys/sk-...`, 404],
    ]);
    const { results } = await env.DB.prepare("select * from audit").all();
    const text = JSON.stringify(results);
    for (const secret of [token, key.body.key.secret as string, "a private name", env.SLUICE_ADMIN_TOKEN])
      expect(text).not.toContain(secret);
  });

  test("goes back page by page", async ({ expect }) => {
    for (let i = 0; i < 3; i++) await ask("PUT", `/models/m${i}`, {});
    const first = await ask("GET", "/audit?limit=2&actor=token");
    const second = await ask("GET", `/audit?limit=2&actor=token&cursor=${first.body.next}`);
    const targets = [...first.body.audit, ...second.body.audit].map((row: { target: string }) => row.target);
    expect(targets.slice(0, 3)).toEqual(["/models/m2", "/models/m1", "/models/m0"]);
  });

  test("comes first: what cannot be written down is not done", async ({ expect }) => {
    const account = await newAccount();
    const broken = new Proxy(env.DB, {
      get: (db, name) => {
        const value: unknown = Reflect.get(db, name);
        if (name !== "prepare") return typeof value === "function" ? (value.bind(db) as unknown) : value;
        return (sql: string) => {
          if (/insert into "?audit/i.test(sql)) throw new Error("D1 is away");
          return db.prepare(sql);
        };
      },
    });
    const as = { env: { DB: broken } };
    const { status } = await ask(
      "POST",
      `/accounts/${account}/credits`,
      { creditId: "c", amountUsd: "1" },
      as,
    );
    expect(status).toBe(503);
    expect((await ask("GET", `/accounts/${account}`)).body.account.balanceNanoUsd).toBe(0);
  });
});
