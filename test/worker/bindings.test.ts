/** The suite in workerd stands on these: every binding of wrangler.toml is there, and D1 has its tables. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";

describe("the Worker's surroundings", () => {
  test("D1 has every table of the schema", async ({ expect }) => {
    const { results } = await env.DB.prepare("select name from sqlite_master where type = 'table'").all<{
      name: string;
    }>();
    const names = results.map((row) => row.name);
    for (const table of ["accounts", "keys", "models", "nodes", "usage_events", "ledger_entries"])
      expect(names).toContain(table);
  });

  test("secrets, objects, queue and cache are bound", ({ expect }) => {
    expect(JSON.parse(env.SLUICE_SECRETS)).toHaveProperty("current");
    for (const binding of [env.KV, env.ACCOUNTS, env.REGIONS, env.EVENTS, env.ASSETS])
      expect(binding).toBeDefined();
  });
});
