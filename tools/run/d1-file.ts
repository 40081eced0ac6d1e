/**
 * D1 as a file: what a bench or chaos reads beside the platform, so that asking is no part of what is asked about. While
 * workerd runs, what is read may be torn: its locks are not the file system's. The last word is read when it has ended.
 */
import { globSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Read-only. `dataDir` is the Worker's; its migrations have run. The caller closes it. */
export function openD1File(dataDir: string): DatabaseSync {
  const files = globSync(join(dataDir, "d1/**/*.sqlite")).filter((file) => !file.includes("metadata"));
  for (const file of files) {
    const db = new DatabaseSync(file, { readOnly: true });
    if (db.prepare("select 1 from sqlite_master where name = 'usage_events'").get() !== undefined) return db;
    db.close();
  }
  throw new Error("D1's file was not found");
}
