/** What a node that is not running still owes: read from its journal, which nobody else has open then. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Receipts that no edge has taken yet, and attempts that were running when the node ended. 0 where there is no journal. */
export function receiptsOwed(dataDir: string): number {
  const file = join(dataDir, "journal.db");
  if (!existsSync(file)) return 0;
  const db = new DatabaseSync(file);
  try {
    const row = db
      .prepare(
        `select (select count(*) from receipts where settled_at_ms is null)
              + (select count(*) from attempts where ended is null) as owed`,
      )
      .get();
    return Number(row?.["owed"] ?? 0);
  } catch {
    // Another release's journal, or one that is in use: then it is not ours to tell.
    return 0;
  } finally {
    db.close();
  }
}
