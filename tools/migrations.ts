/**
 * Makes the next migration from src/db/schema.ts: drizzle-kit writes it, and every table in it becomes one without
 * rowid. Drizzle cannot say that, and it matters: all tables here are keyed by text, and such a table with a rowid is
 * two trees, so that every insert is two rows written, and rows written are what D1 costs. Deterministic and harmless
 * to repeat: a file that says it already is not touched. A unit test sees to it that no table was forgotten.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = "migrations";

const made = spawnSync("drizzle-kit", ["generate", ...process.argv.slice(2)], { stdio: "inherit" });
if (made.status !== 0) process.exit(made.status ?? 1);

for (const name of readdirSync(FOLDER).filter((name) => name.endsWith(".sql"))) {
  const path = join(FOLDER, name);
  const sql = readFileSync(path, "utf8");
  const without = sql.replaceAll(/^(CREATE TABLE [^]*?\n\));/gm, "$1 WITHOUT ROWID;");
  if (without !== sql) writeFileSync(path, without);
}
