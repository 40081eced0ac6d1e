/**
 * Removing what is too old, in bites: no statement here touches more than `BITE_ROWS` rows, so that cron can be sure of
 * its time. Everything is keyed by account and time, so nothing has to be looked for.
 */
import { ulid } from "@sluice/protocol/ids";
import type { Env } from "../core/env.ts";
import { firstIdAt } from "./usage-buckets.ts";

type Db = Pick<Env, "DB">;

export const BITE_ROWS = 500;
const NO_DICE = new Uint8Array(16);

async function removed(statement: D1PreparedStatement): Promise<number> {
  return (await statement.run()).meta.changes;
}

/** Alerts whose day is before this moment's. How many went. */
export function removeAlerts(env: Db, beforeMs: number): Promise<number> {
  const day = new Date(beforeMs).toISOString().slice(0, 10);
  return removed(
    env.DB.prepare(
      "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE id < ?1 ORDER BY id LIMIT ?2)",
    ).bind(day, BITE_ROWS),
  );
}

export function removeAudit(env: Db, beforeMs: number): Promise<number> {
  return removed(
    env.DB.prepare(
      "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < ?1 ORDER BY id LIMIT ?2)",
    ).bind(ulid(Math.max(0, beforeMs), NO_DICE), BITE_ROWS),
  );
}

export function removeUsage(env: Db, account: string, beforeMs: number): Promise<number> {
  return removed(
    env.DB.prepare(
      `DELETE FROM usage_events WHERE (account, request, revision) IN
         (SELECT account, request, revision FROM usage_events WHERE account = ?1 AND request < ?2 ORDER BY request LIMIT ?3)`,
    ).bind(account, firstIdAt(beforeMs), BITE_ROWS),
  );
}

export function removeRollups(env: Db, account: string, beforeMs: number): Promise<number> {
  return removed(
    env.DB.prepare(
      `DELETE FROM rollups WHERE (account, hour_ms, key, model, region) IN
         (SELECT account, hour_ms, key, model, region FROM rollups WHERE account = ?1 AND hour_ms < ?2 ORDER BY hour_ms LIMIT ?3)`,
    ).bind(account, beforeMs, BITE_ROWS),
  );
}

export function removeLedger(env: Db, account: string): Promise<number> {
  return removed(
    env.DB.prepare(
      `DELETE FROM ledger_entries WHERE (account, seq) IN
         (SELECT account, seq FROM ledger_entries WHERE account = ?1 ORDER BY seq LIMIT ?2)`,
    ).bind(account, BITE_ROWS),
  );
}

/** Accounts that were deleted before this moment, in the order of their ids, beyond one of them. */
export async function deletedBefore(
  env: Db,
  beforeMs: number,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<string[]> {
  const { results } = await env.DB.prepare(
    "SELECT id FROM accounts WHERE deleted_at_ms < ?1 AND id > ?2 ORDER BY id LIMIT ?3",
  )
    .bind(beforeMs, after, limit)
    .all<{ id: string }>();
  return results.map(({ id }) => id);
}

/** The last of it: the lists. Nothing of the account is in D1 after this. */
export async function removeAccountRows(env: Db, account: string): Promise<void> {
  await env.DB.batch([
    env.DB.prepare("DELETE FROM keys WHERE account = ?1").bind(account),
    env.DB.prepare("DELETE FROM reconciled WHERE account = ?1").bind(account),
    env.DB.prepare("DELETE FROM accounts WHERE id = ?1").bind(account),
  ]);
}
