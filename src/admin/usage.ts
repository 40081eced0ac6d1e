/**
 * What an account used: its latest requests, every revision of one, and the ledger. Read from D1, so a request shows up
 * here a moment after its bill is settled. Lists leave the nodes' receipts out: they are long, and one request has them.
 */
import { AttemptTrace } from "@sluice/protocol/account-log";
import { RequestId } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import { printUsd } from "../core/money.ts";
import { ledgerPage } from "../db/ledger.ts";
import { usageOf, usagePage, type UsageRow } from "../db/usage.ts";
import { Complaint } from "./complaint.ts";
import { accountOf, pathId, readPage, type AdminEnv } from "./input.ts";

export const usageRoutes = new Hono<AdminEnv>();

usageRoutes.get("/", async (c) => {
  const { rows, next } = await usagePage(c.env, accountOf(c), readPage(c));
  return c.json({ usage: rows.map(printBrief), next });
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

export const ledgerRoutes = new Hono<AdminEnv>();

ledgerRoutes.get("/", async (c) => {
  const { rows, next } = await ledgerPage(c.env, accountOf(c), readPage(c));
  return c.json({ ledger: rows.map((row) => ({ ...row, amountUsd: printUsd(row.amountNanoUsd) })), next });
});

function printBrief(row: UsageRow) {
  const attempts = z.array(AttemptTrace.omit({ receipt: true })).parse(JSON.parse(row.attempts));
  return { ...printUsage(row), attempts };
}

function printUsage(row: UsageRow) {
  return { ...row, attempts: JSON.parse(row.attempts) as unknown, costUsd: printUsd(row.costNanoUsd) };
}
