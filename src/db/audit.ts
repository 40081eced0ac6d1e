/**
 * The audit log in D1: one row per change that was tried over the admin interface. Rows are added before the change and
 * get their outcome once; nothing else ever changes one, and only their age removes them (retention.ts).
 */
import { and, desc, eq, isNull, lt } from "drizzle-orm";
import type { Env } from "../core/env.ts";
import { database } from "./database.ts";
import { cutPage, type Page, type PageAsk } from "./page.ts";
import { audit } from "./schema.ts";

type Db = Pick<Env, "DB">;

export type AuditRow = typeof audit.$inferSelect;

export async function beginAudit(env: Db, row: Omit<AuditRow, "status">): Promise<void> {
  await database(env).insert(audit).values(row);
}

/** `target` where the change made what it is about. */
export async function endAudit(
  env: Db,
  id: string,
  outcome: Pick<AuditRow, "status" | "target">,
): Promise<void> {
  await database(env)
    .update(audit)
    .set(outcome)
    .where(and(eq(audit.id, id), isNull(audit.status)));
}

/** The newest first; of one actor, where one is named. */
export async function auditPage(
  env: Db,
  actor: string | undefined,
  { limit, after }: PageAsk,
): Promise<Page<AuditRow>> {
  const rows = await database(env)
    .select()
    .from(audit)
    .where(
      and(
        after === undefined ? undefined : lt(audit.id, after[1]),
        actor === undefined ? undefined : eq(audit.actor, actor),
      ),
    )
    .orderBy(desc(audit.id))
    .limit(limit + 1);
  return cutPage(rows, limit, (row) => [row.atMs, row.id]);
}
