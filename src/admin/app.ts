/**
 * The admin interface, for the composition root to mount. One guard stands before every route, those that do not exist
 * included; no route can forget it: who calls, then a line in the audit log for whatever would change something, then
 * whether the caller's scopes allow it. Every change is durable before it is answered.
 *
 * No cookies, no CORS: a browser of somebody who is logged in somewhere has nothing to offer here.
 */
import { Hono } from "hono";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import type { Secrets } from "../core/secrets.ts";
import { accountRoutes } from "./accounts.ts";
import { adminKeyRoutes } from "./admin-keys.ts";
import { alertRoutes } from "./alerts.ts";
import { audited, auditRoutes } from "./audit.ts";
import { Complaint } from "./complaint.ts";
import { generationRoutes } from "./generations.ts";
import type { AdminEnv } from "./input.ts";
import { keyRoutes } from "./keys.ts";
import { aliasRoutes, modelRoutes, priceRoutes } from "./models.ts";
import { nodeRoutes } from "./nodes.ts";
import { reconcileRoutes } from "./reconcile.ts";
import { scopeFor } from "./scopes.ts";
import { findAdmin, whyClosed } from "./token.ts";
import { upstreamRoutes } from "./upstreams.ts";
import { ledgerRoutes, usageRoutes } from "./usage.ts";

/** Where app.ts mounts this; scopes are told by what follows. */
const MOUNTED_AT = "/admin/v1";

export function adminApp({ secretsOf }: { readonly secretsOf: (env: Env) => Secrets }): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();

  app.use("*", async (c, next) => {
    c.header("cache-control", "no-store");
    const closed = whyClosed(c.env);
    if (closed !== undefined) throw new Complaint("admin_closed", closed);
    const admin = await findAdmin(c.env, c.req.header("authorization") ?? null, Date.now()).catch(
      (cause: unknown) => {
        if (cause instanceof FaultError) throw cause;
        throw new FaultError({ kind: "storage_unavailable" }, { cause });
      },
    );
    if (admin === undefined)
      throw new Complaint(
        "unauthenticated",
        "show the admin token, or an admin key that is still good: authorization: Bearer <SLUICE_ADMIN_TOKEN>",
      );
    c.set("admin", admin);
    await next();
  });
  app.use("*", audited);
  app.use("*", async (c, next) => {
    const { scopes } = c.get("admin");
    const needed = scopeFor(c.req.method, c.req.path.replace(MOUNTED_AT, ""));
    if (scopes !== null && (needed === undefined || !scopes.includes(needed)))
      throw new Complaint(
        "forbidden",
        needed === undefined
          ? "this is for the deployment's own admin token alone"
          : `this admin key lacks the scope ${needed}`,
      );
    await next();
  });

  app.route("/accounts", accountRoutes);
  app.route("/accounts/:account/keys", keyRoutes(secretsOf));
  app.route("/accounts/:account/usage", usageRoutes);
  app.route("/accounts/:account/ledger", ledgerRoutes);
  app.route("/generations", generationRoutes);
  app.route("/nodes", nodeRoutes);
  app.route("/upstreams", upstreamRoutes(secretsOf));
  app.route("/models", modelRoutes);
  app.route("/prices", priceRoutes);
  app.route("/aliases", aliasRoutes);
  app.route("/admin-keys", adminKeyRoutes);
  app.route("/alerts", alertRoutes);
  app.route("/reconcile", reconcileRoutes);
  app.route("/audit", auditRoutes);
  app.all("*", (c) => {
    throw new Complaint("not_found", `there is no ${c.req.method} ${new URL(c.req.url).pathname}`);
  });

  app.onError((error, c) => {
    const complaint = complaintOf(error);
    if (complaint.code === "unauthenticated") c.header("www-authenticate", "Bearer");
    return c.json(complaint.body(), complaint.status);
  });
  return app;
}

function complaintOf(error: Error): Complaint {
  if (error instanceof Complaint) return error;
  if (error instanceof FaultError && error.fault.kind === "overloaded")
    return new Complaint("overloaded", "too many keys were tried here this second; try again in a moment");
  logError("admin_request_failed", error);
  // Of the change it is not known whether it was made; every change may be asked for again.
  return error instanceof FaultError && error.fault.kind === "storage_unavailable"
    ? new Complaint("storage_unavailable", "the books cannot be reached; try again in a moment")
    : new Complaint("internal", "something went wrong here; the log says what");
}
