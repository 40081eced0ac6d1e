/**
 * Writes down every change that is tried, and lets it be read. The row comes before the change: what cannot be written
 * down is not done. Its outcome follows; where that fails, the row stays without one, which says so itself.
 *
 * Invariant: no secret gets here. A row has ids out of the path and a status; a key that somebody pasted into a path is
 * blotted out.
 */
import { ulid } from "@sluice/protocol/ids";
import { Hono, type MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import { z } from "zod";
import { FaultError } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import { auditPage, beginAudit, endAudit } from "../db/audit.ts";
import { fromZod } from "./complaint.ts";
import { readPage, type AdminEnv } from "./input.ts";
import { AdminKeyId, OPERATOR } from "./token.ts";

const MOUNTED_AT = "/admin/v1";
const TARGET_CHARS_MAX = 200;
const ULID_DICE_BYTES = 16;

/** Whatever looks like a key of ours, or like a join token. */
const SECRET = /\b(sk|sluice-join)-[\w-]+/g;

export const audited: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const route = matchedRoutes(c).findLast(({ path }) => !path.endsWith("*"));
  if (c.req.method === "GET" || route === undefined) return next();
  const atMs = Date.now();
  const id = ulid(atMs, crypto.getRandomValues(new Uint8Array(ULID_DICE_BYTES)));
  const target = blotted(c.req.path);
  const action = `${c.req.method} ${route.path.replace(MOUNTED_AT, "").replaceAll(/\{[^}]*\}/g, "")}`;
  await beginAudit(c.env, { id, atMs, actor: c.get("admin").id, action, target }).catch((cause: unknown) => {
    throw new FaultError({ kind: "storage_unavailable" }, { cause });
  });
  await next();
  const made = c.res.headers.get("location");
  try {
    await endAudit(c.env, id, { status: c.res.status, target: made === null ? target : blotted(made) });
  } catch (error) {
    logError("audit_outcome_not_written", error, { id });
  }
};

function blotted(path: string): string {
  return path.replace(MOUNTED_AT, "").replaceAll(SECRET, "$1-...").slice(0, TARGET_CHARS_MAX);
}

const AuditQuery = z.object({ actor: z.union([AdminKeyId, z.literal(OPERATOR)]).optional() });

export const auditRoutes = new Hono<AdminEnv>();

auditRoutes.get("/", async (c) => {
  const query = AuditQuery.safeParse({ actor: c.req.query("actor") });
  if (!query.success) throw fromZod(query.error);
  const { rows, next } = await auditPage(c.env, query.data.actor, readPage(c));
  return c.json({ audit: rows, next });
});
