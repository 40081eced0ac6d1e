/**
 * The URLs a node calls, for the composition root to mount at MOUNTED_AT. What is done with receipts is another room's
 * matter, so it comes in as a function.
 */
import { BEAT_PATH } from "@sluice/protocol/beat";
import { ENROL_PATH } from "@sluice/protocol/enrol";
import { Hono } from "hono";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import type { Secrets } from "../core/secrets.ts";
import { takeBeat, type SettleBeat } from "./beat.ts";
import { takeEnrol } from "./enrol.ts";
import { refuse } from "./refuse.ts";

/** The protocol names whole paths; a mounted app sees what follows this. */
const MOUNTED_AT = "/node/v1";

export function nodesApp(given: {
  readonly secretsOf: (env: Env) => Secrets;
  readonly settle: SettleBeat;
}): Hono<{ Bindings: Env }> {
  const app = new Hono<{ Bindings: Env }>();
  app.post(ENROL_PATH.slice(MOUNTED_AT.length), (c) => takeEnrol(c.env, c.req.raw, given));
  app.post(BEAT_PATH.slice(MOUNTED_AT.length), (c) => takeBeat(c.env, c.req.raw, given));
  app.onError((error) => {
    // A node tries again whatever it is told here; what went wrong is for the operator's log.
    if (!(error instanceof FaultError)) logError("node_request_failed", error);
    return refuse("unavailable", "try again in a moment");
  });
  return app;
}
