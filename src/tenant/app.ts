/**
 * What an account may ask about itself with its own key, for the composition root to mount. The key is checked against
 * the account's object for every call, and every query has the account in its WHERE: there is no id to guess.
 */
import { Hono } from "hono";
import type { Env } from "../core/env.ts";
import { FaultError } from "../core/fault.ts";
import { priceById } from "../db/models.ts";
import { generationOf } from "../db/usage.ts";
import { usageBuckets } from "../db/usage-buckets.ts";
import { printBalance } from "./balance.ts";
import { printGeneration } from "../wire/generation.ts";
import { readGenerationAsk } from "./generation.ts";
import { madeKeys } from "./keys.ts";
import { printKey } from "./key.ts";
import { takePoints } from "./pace.ts";
import { whoAsks } from "./principal.ts";
import { readUsageAsk, printUsagePage } from "./usage.ts";

/** Balances and bills are nobody's to keep. */
const FRESH = { "cache-control": "no-store" };

export const tenantApp = new Hono<{ Bindings: Env }>();

// DeepSeek's path has no version; its clients ask with and without.
for (const path of ["/user/balance", "/v1/user/balance"])
  tenantApp.get(path, async (c) => {
    const { account } = await whoAsks(c.env, c.req.raw.headers);
    return c.json(printBalance(account), 200, FRESH);
  });

tenantApp.get("/v1/key", async (c) => {
  return c.json(printKey(await whoAsks(c.env, c.req.raw.headers)), 200, FRESH);
});

tenantApp.route("/v1/keys", madeKeys);

tenantApp.get("/v1/usage", async (c) => {
  const { account } = await whoAsks(c.env, c.req.raw.headers);
  const ask = readUsageAsk(c.req.url, Date.now());
  takePoints(account.account, "usage", Date.now());
  const rows = await books(usageBuckets(c.env, { ...ask, account: account.account }));
  return c.json(printUsagePage(ask, rows), 200, FRESH);
});

tenantApp.get("/v1/generation", async (c) => {
  let id = "";
  const { account, request: now } = await whoAsks(c.env, c.req.raw.headers, () => {
    id = readGenerationAsk(c.req.url);
    return id;
  });
  takePoints(account.account, "generation", Date.now());
  // The object first: the history has a request a moment later.
  const generation = now ?? (await books(generationOf(c.env, account.account, id)));
  if (generation === undefined) throw new FaultError({ kind: "not_found", what: `/v1/generation?id=${id}` });
  return c.json(printGeneration(generation, await books(priceById(c.env, generation.priceId))), 200, FRESH);
});

/** D1 away is no fault of the caller's, and worth another try. */
function books<Found>(found: Promise<Found>): Promise<Found> {
  return found.catch((cause: unknown) => {
    throw new FaultError({ kind: "storage_unavailable" }, { cause });
  });
}
