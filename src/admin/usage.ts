/**
 * What an account used: its latest requests, and every revision of one. Read from D1, so a request shows up here a
 * moment after its bill is settled.
 */
import { RequestId } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { printUsd } from "../core/money.ts";
import { usageOf, usagePage, type UsageRow } from "../db/usage.ts";
import { Complaint } from "./complaint.ts";
import { accountOf, pathId, readPage, type AdminEnv } from "./input.ts";

export const usageRoutes = new Hono<AdminEnv>();

usageRoutes.get("/", async (c) => {
  const { rows, next } = await usagePage(c.env, accountOf(c), readPage(c));
  return c.json({ usage: rows.map(printUsage), next });
});

usageRoutes.get("/:request", async (c) => {
  const request = pathId(c, "request", RequestId, "request");
  const revisions = await usageOf(c.env, accountOf(c), request);
  if (revisions.length === 0)
    throw new Complaint(
      "not_found",
      "no usage of this request is here; a running or just finished one comes later",
    );
  return c.json({ request, revisions: revisions.map(printUsage) });
});

function printUsage(row: UsageRow) {
  return { ...row, attempts: JSON.parse(row.attempts) as unknown, costUsd: printUsd(row.costNanoUsd) };
}
