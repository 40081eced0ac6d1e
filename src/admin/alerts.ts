/** Alerts: what happened that should not have, until somebody says that they have seen it. */
import { Hono } from "hono";
import { z } from "zod";
import { alertsPage, markAlertsSeen } from "../db/alerts.ts";
import { Complaint, wrong } from "./complaint.ts";
import { readInput, readPage, type AdminEnv } from "./input.ts";

/** Without an id: all there are. */
const Seen = z.strictObject({ id: z.string().min(1).max(200).exactOptional() });

export const alertRoutes = new Hono<AdminEnv>();

alertRoutes.get("/", async (c) => {
  const all = c.req.query("all") ?? "false";
  if (all !== "true" && all !== "false") throw wrong("all", "is true or false");
  const { rows, next } = await alertsPage(c.env, all === "true", readPage(c));
  return c.json({ alerts: rows, next });
});

alertRoutes.post("/seen", async (c) => {
  const { id } = await readInput(c, Seen);
  const seen = await markAlertsSeen(c.env, id, Date.now());
  if (id !== undefined && seen === 0)
    throw new Complaint("not_found", "there is no such alert that nobody has seen");
  return c.json({ seen });
});
