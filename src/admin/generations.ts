/** One request of whichever account: what `GET /v1/generation` tells its owner, for the operator. Read from D1. */
import { AccountId, RequestId } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { priceById } from "../db/models.ts";
import { accountOfRequest, generationOf } from "../db/usage.ts";
import { printGeneration } from "../wire/generation.ts";
import { Complaint, wrong } from "./complaint.ts";
import { pathId, type AdminEnv } from "./input.ts";

export const generationRoutes = new Hono<AdminEnv>();

/** `?account=` saves looking for it. */
generationRoutes.get("/:request", async (c) => {
  const request = pathId(c, "request", RequestId, "request");
  const given = c.req.query("account");
  if (given !== undefined && !AccountId.safeParse(given).success)
    throw wrong("account", "is no account's id");
  const account = given ?? (await accountOfRequest(c.env, request));
  const generation = account === undefined ? undefined : await generationOf(c.env, account, request);
  if (generation === undefined)
    throw new Complaint(
      "not_found",
      "no usage of this request is here; a running or just finished one comes later",
    );
  const price = await priceById(c.env, generation.priceId);
  return c.json({ account, generation: printGeneration(generation, price, "operator") });
});
