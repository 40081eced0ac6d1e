/** Compares an account's books now, and repairs what the object can repair; see keeping/reconcile.ts. */
import { AccountId } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import { reconcile } from "../keeping/reconcile.ts";
import { Complaint } from "./complaint.ts";
import { readInput, type AdminEnv } from "./input.ts";

const JOURNALS_MAX = 50;

const Reconcile = z.strictObject({
  account: AccountId,
  /** From the ledger's beginning, and not from where the last comparison ended. */
  whole: z.boolean().default(false),
  /** How many of the newest requests are looked up in the nodes' journals. */
  journals: z.int().min(0).max(JOURNALS_MAX).default(10),
});

export const reconcileRoutes = new Hono<AdminEnv>();

reconcileRoutes.post("/", async (c) => {
  const { account, ...ask } = await readInput(c, Reconcile);
  const result = await reconcile(c.env, account, ask, Date.now());
  if (result === undefined) throw new Complaint("not_found", "there is no such account");
  return c.json(result);
});
