/**
 * API keys of an account. A key is shown in the answer that makes it and never again: neither the object nor D1 has it.
 * A revoked key starts nothing from the next call on, because every call asks the object.
 */
import { UpstreamsAllowed } from "@sluice/protocol/account";
import { KeyId, randomName } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import { KEY_DICE_BYTES, makeKey } from "../auth/key.ts";
import { accountObject, type Env } from "../core/env.ts";
import { KEY_SCOPES } from "../core/limits.ts";
import type { Secrets } from "../core/secrets.ts";
import { keysPage, listKey, markRevoked, renewKey, type KeyRow } from "../db/accounts.ts";
import { aliasByName, modelById } from "../db/models.ts";
import { mustLive, statusOf } from "./accounts.ts";
import { Complaint, wrong } from "./complaint.ts";
import {
  accountOf,
  type AdminContext,
  type AdminEnv,
  Cache,
  LIMITS,
  Name,
  pathId,
  readInput,
  readPage,
  Regions,
} from "./input.ts";

const KEY_NAME_CHARS = 10;
const KEY_MODELS_MAX = 64;

const KEY = {
  /** Null: never. */
  expiresAtMs: z.int().min(0).nullable().exactOptional(),
  /** Null: every model. Ids of models, not aliases. */
  models: z.array(z.string().min(1).max(128)).min(1).max(KEY_MODELS_MAX).nullable().exactOptional(),
  /** Null: every region of the account. */
  regions: Regions.exactOptional(),
  /** What it is for. */
  scopes: z.array(z.enum(KEY_SCOPES)).min(1).max(KEY_SCOPES.length).exactOptional(),
  ...LIMITS,
  cache: Cache.exactOptional(),
  /** Of what the account allows. */
  upstreams: UpstreamsAllowed.exactOptional(),
};

const CreateKey = z.strictObject({ name: Name, ...KEY });
const ChangeKey = z
  .strictObject({ name: Name.exactOptional(), ...KEY })
  .refine((change) => Object.keys(change).length > 0, { error: "nothing to change was given" });

const OVERLAP_S_DEFAULT = 24 * 60 * 60;
const OVERLAP_S_MAX = 30 * 24 * 60 * 60;
/** How long the old secret still opens; 0 where it has leaked. */
const RotateKey = z.strictObject({ overlapS: z.int().min(0).max(OVERLAP_S_MAX).default(OVERLAP_S_DEFAULT) });

export function keyRoutes(secretsOf: (env: Env) => Secrets): Hono<AdminEnv> {
  const routes = new Hono<AdminEnv>();

  routes.post("/", async (c) => {
    const account = accountOf(c);
    const settings = await readInput(c, CreateKey);
    const nowMs = Date.now();
    if ((settings.expiresAtMs ?? Infinity) <= nowMs) throw wrong("expiresAtMs", "is in the past");
    await mustExist(c.env, settings.models ?? []);
    await statusOf(c.env, account);
    await mustLive(c.env, account);
    const id = `key_${randomName(KEY_NAME_CHARS, crypto.getRandomValues(new Uint8Array(KEY_NAME_CHARS)))}`;
    const dice = crypto.getRandomValues(new Uint8Array(KEY_DICE_BYTES));
    const made = await makeKey(secretsOf(c.env), { account, keyId: id }, dice);
    const { secretSha256, lastFour } = made;
    await accountObject(c.env, account).putKey({ id, secretSha256, lastFour, ...settings });
    const row = {
      id,
      account,
      name: settings.name,
      lastFour,
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

  /** As the account's object sees it, with what it has used. */
  routes.get("/:key", async (c) => {
    const { account, key } = await namedKey(c);
    return c.json({ key: await statusOfKey(c.env, account, key) });
  });

  routes.patch("/:key", async (c) => {
    const { account, key } = await namedKey(c);
    const change = await readInput(c, ChangeKey);
    if ((change.expiresAtMs ?? Infinity) <= Date.now()) throw wrong("expiresAtMs", "is in the past");
    await mustExist(c.env, change.models ?? []);
    if (!(await accountObject(c.env, account).changeKey(key, change))) throw noSuchKey();
    if (change.name !== undefined) await renewKey(c.env, key, { name: change.name });
    return c.json({ key: await statusOfKey(c.env, account, key) });
  });

  /** A new secret, shown this once; the old one opens a while longer. */
  routes.post("/:key/rotate", async (c) => {
    const { account, key } = await namedKey(c);
    const { overlapS } = await readInput(c, RotateKey);
    const dice = crypto.getRandomValues(new Uint8Array(KEY_DICE_BYTES));
    const made = await makeKey(secretsOf(c.env), { account, keyId: key }, dice);
    const { secretSha256, lastFour } = made;
    const oldUntilMs = Date.now() + overlapS * 1_000;
    if (!(await accountObject(c.env, account).rotateKey(key, { secretSha256, lastFour, oldUntilMs })))
      throw noSuchKey();
    await renewKey(c.env, key, { lastFour });
    return c.json({ key: { ...(await statusOfKey(c.env, account, key)), secret: made.key } });
  });

  routes.delete("/:key", async (c) => {
    const { account, key } = await namedKey(c);
    if (!(await accountObject(c.env, account).revokeKey(key))) throw noSuchKey();
    await markRevoked(c.env, key, Date.now());
    return c.json({ id: key, revoked: true });
  });

  return routes;
}

async function namedKey(c: AdminContext): Promise<{ readonly account: string; readonly key: string }> {
  const account = accountOf(c);
  const key = pathId(c, "key", KeyId, "key");
  await statusOf(c.env, account);
  return { account, key };
}

function noSuchKey(): Complaint {
  return new Complaint("not_found", "this account has no such key");
}

async function statusOfKey(env: Env, account: string, key: string): Promise<object> {
  const status = await accountObject(env, account).keyStatus(key);
  if (status === null) throw noSuchKey();
  const { lastFour, ...rest } = status;
  return { account, shown: shown(lastFour), ...rest };
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
  return { id, account, name, shown: shown(lastFour), createdAtMs, revokedAtMs };
}

function shown(lastFour: string): string {
  return `sk-sluice-...${lastFour}`;
}
