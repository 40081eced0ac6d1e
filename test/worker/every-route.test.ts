/**
 * Every address there is, from the router's own table: without a key it gives nothing away, and a new one is closed until
 * somebody has written it down here as open.
 */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { app, operatorApp } from "../../src/app.ts";
import { newCustomer } from "./tenant/support.ts";

/** Open to everybody, and why. */
const OPEN: ReadonlySet<string> = new Set([
  // Whether the deployment is up.
  "GET /health",
  // With these anybody checks a receipt.
  "GET /.well-known/sluice-node-keys.json",
]);
/** Not by a key but by a signature, or a join token in a signed body. */
const SIGNED = /^\/node\/v1\//;

const ROUTES = [
  ...new Set(
    [app, operatorApp]
      .flatMap(({ routes }) => routes)
      .filter(({ path }) => !path.endsWith("*"))
      .map(({ method, path }) => `${method === "ALL" ? "DELETE" : method} ${path}`),
  ),
].toSorted();

async function answer(route: string, headers: Record<string, string>): Promise<Response> {
  const [method = "", path = ""] = route.split(" ");
  const named = path.replaceAll(/:[a-z]+(\{[^}]*\})?/gi, "acc_any_000000000000");
  const body = method === "GET" || method === "DELETE" ? {} : { body: "{}" };
  const request = new Request(`https://edge.example.com${named}`, { method, headers, ...body });
  return app.fetch(request, env, createExecutionContext());
}

const SECRET = env.SLUICE_ADMIN_TOKEN;
const STRANGERS: readonly (readonly [string, Record<string, string>])[] = [
  ["nothing", {}],
  ["an empty key", { authorization: "Bearer " }],
  ["no key's shape", { authorization: "Bearer sk-other-1234567890" }],
  [
    "a key whose checksum is wrong",
    { authorization: `Bearer sk-sluice-any-0123456789ab-0123456789-${"a".repeat(43)}-aaaaaa` },
  ],
  [
    "another header than the one that counts",
    { "x-api-key": SECRET, "x-sluice-admin": SECRET, cookie: `token=${SECRET}` },
  ],
  [
    "what a proxy or the edge itself would say",
    {
      "x-internal-account": "acc_any_000000000000",
      "x-sluice-node": "node_0000000000",
      "x-forwarded-host": "localhost",
    },
  ],
];

describe("every route", () => {
  test("is known to this test: there are some of each kind", ({ expect }) => {
    for (const part of [
      "/v1/chat/completions",
      "/admin/v1/accounts",
      "/node/v1/beat",
      "/v1/keys",
      "/user/balance",
    ])
      expect(ROUTES.some((route) => route.endsWith(` ${part}`))).toBe(true);
    for (const route of OPEN) expect(ROUTES).toContain(route);
  });

  test.for(STRANGERS)("is closed to who brings %s", async ([, headers], { expect }) => {
    for (const route of ROUTES) {
      if (OPEN.has(route)) continue;
      const response = await answer(route, headers);
      const text = await response.text();
      const [method, path = ""] = route.split(" ");
      // Which addresses there are is no secret; a node's are told apart by what is signed, and an empty body is not.
      const refusals = SIGNED.test(path) ? [400, 401] : method === "DELETE" ? [401, 405] : [401];
      expect([route, refusals.includes(response.status) ? "refused" : response.status]).toEqual([
        route,
        "refused",
      ]);
      expect(text).toContain('"error"');
      expect(text).not.toContain(SECRET);
    }
  });

  test("takes its key from one header alone: an operator's token opens no account's door, nor a key an operator's", async ({
    expect,
  }) => {
    const { secret } = await newCustomer("0");
    for (const route of ROUTES) {
      const path = route.split(" ")[1] ?? "";
      if (OPEN.has(route) || SIGNED.test(path)) continue;
      const wrong = path.startsWith("/admin/") ? secret : SECRET;
      const { status } = await answer(route, { authorization: `Bearer ${wrong}` });
      expect([route, status === 401 || status === 405 ? "refused" : status]).toEqual([route, "refused"]);
    }
  });
});
