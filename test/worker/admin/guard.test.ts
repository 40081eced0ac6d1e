/** Who gets in, and that nobody else does, on any route. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { DEV_ADMIN_TOKEN } from "../../../src/admin/token.ts";
import type { Env } from "../../../src/core/env.ts";
import { ask } from "./support.ts";

const ROUTES = [
  ["GET", "/accounts"],
  ["POST", "/accounts"],
  ["GET", "/accounts/acc_any_000000000000"],
  ["PATCH", "/accounts/acc_any_000000000000"],
  ["POST", "/accounts/acc_any_000000000000/credits"],
  ["POST", "/accounts/acc_any_000000000000/keys"],
  ["GET", "/accounts/acc_any_000000000000/keys"],
  ["DELETE", "/accounts/acc_any_000000000000/keys/key_0000000000"],
  ["GET", "/accounts/acc_any_000000000000/usage"],
  ["GET", "/nodes"],
  ["POST", "/nodes/join-tokens"],
  ["POST", "/nodes/node_0000000000/drain"],
  ["DELETE", "/nodes/node_0000000000"],
  ["GET", "/models"],
  ["PUT", "/models/m"],
  ["PUT", "/aliases/a"],
  ["GET", "/audit"],
  ["POST", "/admin-keys"],
  ["GET", "/no-such-route"],
] as const;

describe("without the admin's token", () => {
  test.for(ROUTES)("%s %s is refused", async ([method, path], { expect }) => {
    for (const token of [null, "", "wrong-token-of-a-fair-length", `${env.SLUICE_ADMIN_TOKEN}x`]) {
      const { status, body } = await ask(method, path, method === "GET" ? undefined : {}, { token });
      expect(status).toBe(401);
      expect(body.error.code).toBe("unauthenticated");
      expect(JSON.stringify(body)).not.toContain(env.SLUICE_ADMIN_TOKEN);
    }
  });
});

describe("a deployment is closed to everybody", () => {
  const { SLUICE_ADMIN_TOKEN: _, ...without } = env;
  const CASES: readonly (readonly [string, Partial<Env>, string])[] = [
    ["without a token", { SLUICE_ADMIN_TOKEN: "" }, "is not set"],
    ["with a short token", { SLUICE_ADMIN_TOKEN: "x".repeat(23) }, "fewer than 24 characters"],
    [
      "with the token of local runs outside of them",
      { SLUICE_ADMIN_TOKEN: DEV_ADMIN_TOKEN, SLUICE_DEV: "0" },
      "everybody knows",
    ],
  ];
  test.for(CASES)("%s, and says why", async ([, changes, why], { expect }) => {
    for (const token of [changes.SLUICE_ADMIN_TOKEN ?? "", "undefined", null]) {
      const reply = await ask("GET", "/accounts", undefined, { token, env: { ...without, ...changes } });
      expect(reply).toMatchObject({ status: 503, body: { error: { code: "admin_closed" } } });
      expect(reply.body.error.message).toContain(why);
    }
  });

  test("but a local run is open to its own token", async ({ expect }) => {
    const dev = { SLUICE_ADMIN_TOKEN: DEV_ADMIN_TOKEN, SLUICE_DEV: "1" };
    expect((await ask("GET", "/accounts", undefined, { token: DEV_ADMIN_TOKEN, env: dev })).status).toBe(200);
  });
});

describe("what cannot be read", () => {
  test("is refused field by field, all at once", async ({ expect }) => {
    const { status, body } = await ask("POST", "/accounts", {
      name: "",
      home: "moon",
      concurrency: 0,
      requestsPerMinut: 5,
    });
    expect(status).toBe(400);
    const params = body.error.issues.map((issue: { param: string }) => issue.param);
    expect(params).toEqual(expect.arrayContaining(["name", "home", "concurrency"]));
    expect(JSON.stringify(body.error.issues)).toContain("requestsPerMinut");
  });

  test("is refused when it is no JSON, or too much of it", async ({ expect }) => {
    expect(await ask("POST", "/accounts", "{")).toMatchObject({ status: 400 });
    expect(await ask("POST", "/accounts", " ".repeat(70_000))).toMatchObject({ status: 413 });
  });

  test("is not found when no route has its name", async ({ expect }) => {
    expect(await ask("GET", "/no-such-route")).toMatchObject({
      status: 404,
      body: { error: { code: "not_found" } },
    });
  });
});
