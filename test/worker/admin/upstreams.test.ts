/** Upstreams from the admin's chair: what may be enrolled, what the request path then knows, and where the secret is. */
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, describe, test, vi } from "vitest";
import { parseSecrets } from "../../../src/core/secrets.ts";
import { openUpstreamKey } from "../../../src/core/upstream-key.ts";
import { readBooks } from "../../../src/db/catalogue.ts";
import { ask } from "./support.ts";

const SECRET = "sk-planted-upstream-key-0123456789";
const RATES = { inputMicroUsdPerM: 100, cachedMicroUsdPerM: 50, outputMicroUsdPerM: 200 };
const GIVEN = {
  name: "spare",
  region: "elsewhere",
  url: "https://api.example.com/v1/",
  apiKey: SECRET,
  models: [{ model: "fronted", as: "their-name", contextTokens: 90, ...RATES }],
  concurrency: 4,
  policy: { trains: false, retainsDays: 0 },
};

afterEach(() => vi.restoreAllMocks());
beforeAll(async () => {
  await ask("PUT", "/models/fronted", { contextTokens: 100, outputTokensDefault: 50, price: RATES });
});

async function offered(id: string) {
  const { upstreams } = await readBooks(env, Date.now());
  return upstreams?.find((upstream) => upstream.id === id);
}

describe("an upstream", () => {
  test("is listed with its policy and offered to the request path until it is drained", async ({
    expect,
  }) => {
    const { status, body } = await ask("POST", "/upstreams", GIVEN);
    expect(status).toBe(201);
    const { id } = body.upstream;
    expect(body.upstream).toMatchObject({
      name: "spare",
      region: "elsewhere",
      url: "https://api.example.com/v1",
      state: "offered",
      keySealedUnder: "t1",
      models: [{ model: "fronted", as: "their-name", thinks: false, extra: {}, contextTokens: 90 }],
      policy: { trains: false, retainsDays: 0, keptIn: "elsewhere" },
    });
    expect(await offered(id)).toMatchObject({ kind: "upstream", concurrency: 4 });
    expect((await ask("POST", `/upstreams/${id}/drain`)).body.upstream.state).toBe("drained");
    expect(await offered(id)).toBeUndefined();
    await ask("POST", `/upstreams/${id}/resume`);
    expect(await offered(id)).toBeDefined();
    expect((await ask("DELETE", `/upstreams/${id}`)).body.upstream).toMatchObject({
      state: "removed",
      keySealedUnder: null,
    });
    expect(await offered(id)).toBeUndefined();
    expect((await ask("POST", `/upstreams/${id}/resume`)).status).toBe(404);
    const { body: list } = await ask("GET", "/upstreams?limit=200");
    expect(list.upstreams.find((one: { id: string }) => one.id === id)).toMatchObject({ state: "removed" });
  });

  test("has its secret sealed for itself and its URL alone, and it can be replaced", async ({ expect }) => {
    const { body } = await ask("POST", "/upstreams", GIVEN);
    const { id } = body.upstream;
    const { url, sealedKey } = (await offered(id)) ?? { url: "", sealedKey: "" };
    const secrets = parseSecrets(env.SLUICE_SECRETS);
    const sealed = sealedKey ?? "";
    expect(await openUpstreamKey(secrets, { id, url }, sealed)).toBe(SECRET);
    expect(await openUpstreamKey(secrets, { id, url: "https://evil.example.com" }, sealed)).toBeUndefined();
    expect(await openUpstreamKey(secrets, { id: "upstream_0000000000", url }, sealed)).toBeUndefined();
    expect(await openUpstreamKey({ ...secrets, byId: new Map() }, { id, url }, sealed)).toBeUndefined();
    await ask("PUT", `/upstreams/${id}/key`, { apiKey: "another" });
    const after = await offered(id);
    expect(await openUpstreamKey(secrets, { id, url }, after?.sealedKey ?? "")).toBe("another");
  });

  test("has its secret in no column, no key or value, no answer and no log", async ({ expect }) => {
    const logged: string[] = [];
    for (const method of ["log", "error"] as const)
      vi.spyOn(console, method).mockImplementation((...words) => void logged.push(JSON.stringify(words)));
    const made = await ask("POST", "/upstreams", GIVEN);
    const said = [
      made,
      await ask("GET", "/upstreams?limit=200"),
      await ask("PUT", `/upstreams/${made.body.upstream.id}/key`, { apiKey: `${SECRET} ${SECRET}` }),
      await ask("POST", "/upstreams", { ...GIVEN, apiKey: `${SECRET}\n` }),
      await ask("POST", "/upstreams", { ...GIVEN, url: `https://${SECRET}@api.example.com` }),
      await ask("GET", "/audit?limit=200"),
    ];
    const tables = ["upstreams", "audit"].map((name) => env.DB.prepare(`select * from ${name}`).all());
    const rows = (await Promise.all(tables)).map(({ results }) => results);
    const { keys } = await env.KV.list();
    const values = await Promise.all(keys.map(({ name }) => env.KV.get(name)));
    expect(JSON.stringify([said, rows, keys, values, logged])).not.toContain("planted-upstream-key");
  });

  const WRONG = [
    [{ url: "http://api.example.com/v1" }, "url"],
    [{ url: "https://api.example.com/v1?key=x" }, "url"],
    [{ models: [{ model: "nobody", as: "x", ...RATES }] }, "models.0.model"],
    [{ models: [...GIVEN.models, ...GIVEN.models] }, "models.1.model"],
    [{ models: [] }, "models"],
    [{ apiKey: "with a space" }, "apiKey"],
    [{ features: ["n"] }, "features.0"],
    [{ policy: { trains: false } }, "policy.retainsDays"],
    [{ concurrency: 0 }, "concurrency"],
  ] as const;
  test.for(WRONG)("with %j is refused", async ([changes, param], { expect }) => {
    const { status, body } = await ask("POST", "/upstreams", { ...GIVEN, ...changes });
    expect({ status, param: body.error.issues[0].param }).toEqual({ status: 400, param });
  });
});
