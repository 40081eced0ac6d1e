/** Compares an account's books now, and repairs what the object can repair; see keeping/reconcile.ts. */
import { AccountId, NodeId } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import { nodeById } from "../db/registry.ts";
import { reconcile } from "../keeping/reconcile.ts";
import { walkJournal } from "../keeping/unbilled.ts";
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

const Walk = z.strictObject({
  node: NodeId,
  /** Where the call before ended; its journal's beginning where not given. */
  cursor: z.string().max(64).default(""),
});

export const reconcileRoutes = new Hono<AdminEnv>();

reconcileRoutes.post("/", async (c) => {
  const { account, ...ask } = await readInput(c, Reconcile);
  const result = await reconcile(c.env, account, ask, Date.now());
  if (result === undefined) throw new Complaint("not_found", "there is no such account");
  return c.json(result);
});

/** A stretch of a node's journal: what of it was never billed. Asked again with its cursor until there is no more. */
reconcileRoutes.post("/journal", async (c) => {
  const { node, cursor } = await readInput(c, Walk);
  if ((await nodeById(c.env, node)) === undefined) throw new Complaint("not_found", "there is no such node");
  return c.json(await walkJournal(c.env, node, cursor, Date.now()));
});
