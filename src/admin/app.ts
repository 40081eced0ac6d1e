/**
 * The admin interface, for the composition root to mount. One guard stands before every route, those that do not exist
 * included; no route can forget it. Every change is durable before it is answered.
 *
 * No cookies, no CORS: a browser of somebody who is logged in somewhere has nothing to offer here.
 */
import { Hono } from "hono";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import type { Secrets } from "../core/secrets.ts";
import { accountRoutes } from "./accounts.ts";
import { Complaint } from "./complaint.ts";
import { keyRoutes } from "./keys.ts";
import { aliasRoutes, modelRoutes } from "./models.ts";
import { nodeRoutes } from "./nodes.ts";
import { isAdmin, whyClosed } from "./token.ts";
import { usageRoutes } from "./usage.ts";

export function adminApp({
  secretsOf,
}: {
  readonly secretsOf: (env: Env) => Secrets;
}): Hono<{ Bindings: Env }> {
  const app = new Hono<{ Bindings: Env }>();

  app.use("*", async (c, next) => {
    c.header("cache-control", "no-store");
    const closed = whyClosed(c.env);
    if (closed !== undefined) throw new Complaint("admin_closed", closed);
    if (!(await isAdmin(c.env, c.req.header("authorization") ?? null)))
      throw new Complaint(
        "unauthenticated",
        "show the admin token: authorization: Bearer <SLUICE_ADMIN_TOKEN>",
      );
    await next();
  });

  app.route("/accounts", accountRoutes);
  app.route("/accounts/:account/keys", keyRoutes(secretsOf));
  app.route("/accounts/:account/usage", usageRoutes);
  app.route("/nodes", nodeRoutes);
  app.route("/models", modelRoutes);
  app.route("/aliases", aliasRoutes);
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
  logError("admin_request_failed", error);
  // Of the change it is not known whether it was made; every change may be asked for again.
  return error instanceof FaultError && error.fault.kind === "storage_unavailable"
    ? new Complaint("storage_unavailable", "the books cannot be reached; try again in a moment")
    : new Complaint("internal", "something went wrong here; the log says what");
}
