/** What a batch's rollups cost D1, by the plan that SQLite makes for them over the schema of the migrations. */
import { globSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "vitest";
import { rollupUpsert } from "../../../src/db/rollups.ts";

function ledger(): DatabaseSync {
  const db = new DatabaseSync(":memory:");
  for (const path of globSync("migrations/*.sql").sort())
    for (const statement of readFileSync(path, "utf8").split("--> statement-breakpoint")) db.exec(statement);
  return db;
}

describe("rollups of a batch", () => {
  const plan = ledger()
    .prepare(`EXPLAIN QUERY PLAN ${rollupUpsert("?3 = ?3")}`)
    .all("[]", "acc_any_0123456789ab", 0)
    .map((row) => String(row["detail"]));

  test("read what they replace by request, never all that the account ever used", ({ expect }) => {
    const searches = plan.filter((step) => step.startsWith("SEARCH"));
    expect(searches.length).toBeGreaterThan(0);
    for (const step of searches) expect(step).toContain("request=?");
    expect(plan.filter((step) => step.startsWith("SCAN") && step.includes("usage_events"))).toEqual([]);
  });

  test("read the batch's text once", ({ expect }) => {
    expect(plan.filter((step) => step.includes("json_each"))).toHaveLength(1);
  });
});
