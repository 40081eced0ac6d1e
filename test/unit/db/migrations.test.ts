/** The migrations say what Drizzle cannot: tables keyed by text have no rowid, or every insert would cost two rows. */
import { globSync, readFileSync } from "node:fs";
import { describe, test } from "vitest";

describe("migrations", () => {
  test("make every table without rowid", ({ expect }) => {
    const files = globSync("migrations/*.sql");
    expect(files.length).toBeGreaterThan(0);
    const complaints = files.flatMap((path) =>
      readFileSync(path, "utf8")
        .split("--> statement-breakpoint")
        .filter((sql) => /^\s*CREATE TABLE/.test(sql) && !/\) WITHOUT ROWID;\s*$/.test(sql))
        .map(
          (sql) =>
            `${path}: ${sql.trim().split("\n")[0]} has a rowid; make migrations with tools/migrations.ts`,
        ),
    );
    expect(complaints).toEqual([]);
  });
});
