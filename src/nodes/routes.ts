/** The URLs a node calls. Mounted at the root: the protocol names whole paths. */
import { BEAT_PATH } from "@sluice/protocol/beat";
import { ENROL_PATH } from "@sluice/protocol/enrol";
import { Hono } from "hono";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import { takeBeat, type SettleBeat } from "./beat.ts";
import { takeEnrol } from "./enrol.ts";
import { refuse } from "./refuse.ts";

export function nodeRoutes(settle: SettleBeat): Hono<{ Bindings: Env }> {
  const routes = new Hono<{ Bindings: Env }>();
  routes.post(ENROL_PATH, (c) => takeEnrol(c.env, c.req.raw));
  routes.post(BEAT_PATH, (c) => takeBeat(c.env, c.req.raw, settle));
  routes.onError((error) => {
    // A node tries again whatever it is told here; what went wrong is for the operator's log.
    if (!(error instanceof FaultError)) logError("node_request_failed", error);
    return refuse("unavailable", "try again in a moment");
  });
  return routes;
}
