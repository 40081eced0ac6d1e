/** Pages of other origins: the ones an operator has named, and none besides. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { app, serve } from "../../src/app.ts";

const PAGE = "https://app.example.com";
const named = { ...env, SLUICE_CORS_ORIGINS: `${PAGE}, http://localhost:5173` };

async function call(path: string, init: RequestInit, bindings: typeof env = named): Promise<Response> {
  const ctx = createExecutionContext();
  const response = await serve(new Request(`https://edge.example.com${path}`, init), bindings, ctx);
  await waitOnExecutionContext(ctx);
  return response;
}

const asking = (origin: string): RequestInit => ({
  method: "OPTIONS",
  headers: {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
  },
});

const allows = (response: Response): string | null => response.headers.get("access-control-allow-origin");

describe("a page", () => {
  test("of a named origin may ask with its key, and read the answer, an error's too", async ({ expect }) => {
    const leave = await call("/v1/chat/completions", asking(PAGE));
    expect([leave.status, allows(leave)]).toEqual([204, PAGE]);
    expect(leave.headers.get("access-control-allow-headers")).toContain("authorization");
    expect(leave.headers.get("access-control-allow-credentials")).toBeNull();
    const refused = await call("/v1/chat/completions", {
      method: "POST",
      headers: { origin: PAGE },
      body: "{}",
    });
    expect([refused.status, allows(refused)]).toEqual([401, PAGE]);
    expect(refused.headers.get("vary")).toContain("origin");
    expect(await refused.json()).toMatchObject({ error: { type: "authentication_error" } });
  });

  test("may use every method that a route open to pages has", async ({ expect }) => {
    const open = app.routes.filter(({ method, path }) => method !== "ALL" && !path.startsWith("/node/"));
    const leave = await call("/v1/keys/key_0000000000", asking(PAGE));
    const allowed = leave.headers.get("access-control-allow-methods")?.split(", ").toSorted();
    expect(allowed).toEqual([...new Set(open.map(({ method }) => method))].toSorted());
    expect(allowed).toContain("PATCH");
  });

  test.for(["https://other.example.com", "https://app.example.com.evil.example", "null"])(
    "of %s may not",
    async (origin, { expect }) => {
      const leave = await call("/v1/chat/completions", asking(origin));
      expect([leave.status, allows(leave)]).toEqual([405, null]);
    },
  );

  test("may not where nobody is named", async ({ expect }) => {
    expect(allows(await call("/v1/models", asking(PAGE), env))).toBeNull();
  });

  test("never gets at the admin API or a node's", async ({ expect }) => {
    for (const path of ["/admin/v1/accounts", "/node/v1/beat"])
      expect(allows(await call(path, asking(PAGE)))).toBeNull();
  });
});

test("a list that cannot be read serves no page, and health says so", async ({ expect }) => {
  const wrong = { ...env, SLUICE_CORS_ORIGINS: "*" };
  expect((await call("/health", {}, wrong)).status).toBe(503);
  expect((await call("/v1/models", asking(PAGE), wrong)).status).toBe(503);
});
