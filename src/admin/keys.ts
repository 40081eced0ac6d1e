/**
 * API keys of an account. A key is shown in the answer that makes it and never again: neither the object nor D1 has it.
 * A revoked key starts nothing from the next call on, because every call asks the object.
 */
import { KeyId, randomName } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import { KEY_DICE_BYTES, makeKey } from "../auth/key.ts";
import { accountObject, type Env } from "../core/env.ts";
import type { Secrets } from "../core/secrets.ts";
import { keysPage, listKey, markRevoked, type KeyRow } from "../db/accounts.ts";
import { aliasByName, modelById } from "../db/models.ts";
import { statusOf } from "./accounts.ts";
import { Complaint, wrong } from "./complaint.ts";
import { accountOf, Cache, Limit, Name, pathId, readInput, readPage, type AdminEnv } from "./input.ts";

const KEY_NAME_CHARS = 10;
const KEY_MODELS_MAX = 64;

const CreateKey = z.strictObject({
  name: Name,
  /** Null: never. */
  expiresAtMs: z.int().min(0).nullable().exactOptional(),
  /** Null: every model. Ids of models, not aliases. */
  models: z.array(z.string().min(1).max(128)).min(1).max(KEY_MODELS_MAX).nullable().exactOptional(),
  requestsPerMinute: Limit.exactOptional(),
  concurrency: Limit.exactOptional(),
  cache: Cache.exactOptional(),
});

export function keyRoutes(secretsOf: (env: Env) => Secrets): Hono<AdminEnv> {
  const routes = new Hono<AdminEnv>();

  routes.post("/", async (c) => {
    const account = accountOf(c);
    const settings = await readInput(c, CreateKey);
    const nowMs = Date.now();
    if ((settings.expiresAtMs ?? Infinity) <= nowMs) throw wrong("expiresAtMs", "is in the past");
    await mustExist(c.env, settings.models ?? []);
    await statusOf(c.env, account);
    const id = `key_${randomName(KEY_NAME_CHARS, crypto.getRandomValues(new Uint8Array(KEY_NAME_CHARS)))}`;
    const dice = crypto.getRandomValues(new Uint8Array(KEY_DICE_BYTES));
    const made = await makeKey(secretsOf(c.env), { account, keyId: id }, dice);
    await accountObject(c.env, account).putKey({ id, secretSha256: made.secretSha256, ...settings });
    const row = {
      id,
      account,
      name: settings.name,
      lastFour: made.lastFour,
      createdAtMs: nowMs,
      revokedAtMs: null,
    };
    // Should this fail, the object has a key that nobody was ever shown.
    await listKey(c.env, row);
    c.header("location", `/admin/v1/accounts/${account}/keys/${id}`);
    return c.json({ key: { ...printKey(row), secret: made.key } }, 201);
  });

  routes.get("/", async (c) => {
    const account = accountOf(c);
    const { rows, next } = await keysPage(c.env, account, readPage(c));
    // An account without keys is told from one that is not there.
    if (rows.length === 0) await statusOf(c.env, account);
    return c.json({ keys: rows.map(printKey), next });
  });

  routes.delete("/:key", async (c) => {
    const account = accountOf(c);
    const key = pathId(c, "key", KeyId, "key");
    await statusOf(c.env, account);
    if (!(await accountObject(c.env, account).revokeKey(key)))
      throw new Complaint("not_found", "this account has no such key");
    await markRevoked(c.env, key, Date.now());
    return c.json({ id: key, revoked: true });
  });

  return routes;
}

async function mustExist(env: Env, models: readonly string[]): Promise<void> {
  for (const [i, model] of models.entries()) {
    if ((await modelById(env, model)) !== undefined) continue;
    const alias = await aliasByName(env, model);
    const why = alias === undefined ? "is no model here" : `is an alias; name the model, ${alias.model}`;
    throw wrong(`models.${i}`, `"${model}" ${why}`);
  }
}

/** Enough to tell keys apart, too little to use one. */
function printKey({ id, account, name, lastFour, createdAtMs, revokedAtMs }: KeyRow) {
  return { id, account, name, shown: `sk-sluice-...${lastFour}`, createdAtMs, revokedAtMs };
}
