/**
 * Keys to this very interface. A key made by a key can do nothing its maker cannot, and lives no longer; the operator's
 * token makes whatever it likes. A key is shown in the answer that makes it and never again.
 */
import { Hono } from "hono";
import { z } from "zod";
import {
  adminKeyById,
  adminKeysPage,
  insertAdminKey,
  liveKeysMadeBy,
  revokeAdminKey,
  type AdminKeyRow,
} from "../db/admin-keys.ts";
import { Complaint, wrong } from "./complaint.ts";
import { Name, pathId, readInput, readPage, type AdminEnv } from "./input.ts";
import { Scope } from "./scopes.ts";
import { ADMIN_KEY_DICE_BYTES, AdminKeyId, makeAdminKey, type Admin } from "./token.ts";

const CreateAdminKey = z.strictObject({
  name: Name,
  scopes: z.array(Scope).min(1),
  /** Null: never, where its maker may say so. */
  expiresAtMs: z.int().min(0).nullable().exactOptional(),
});

export const adminKeyRoutes = new Hono<AdminEnv>();

adminKeyRoutes.post("/", async (c) => {
  const { name, scopes, expiresAtMs } = await readInput(c, CreateAdminKey);
  const nowMs = Date.now();
  const maker = c.get("admin");
  for (const [i, scope] of scopes.entries())
    if (maker.scopes !== null && !maker.scopes.includes(scope))
      throw wrong(`scopes.${i}`, `"${scope}" is more than the key that asks may do itself`);
  const made = await makeAdminKey(crypto.getRandomValues(new Uint8Array(ADMIN_KEY_DICE_BYTES)));
  const row = {
    id: made.id,
    name,
    secretSha256: made.secretSha256,
    lastFour: made.lastFour,
    scopes: JSON.stringify([...new Set(scopes)]),
    madeBy: maker.id,
    createdAtMs: nowMs,
    expiresAtMs: expiryWithin(maker, expiresAtMs, nowMs),
    revokedAtMs: null,
  };
  await insertAdminKey(c.env, row);
  c.header("location", `/admin/v1/admin-keys/${row.id}`);
  return c.json({ adminKey: { ...printAdminKey(row), secret: made.secret } }, 201);
});

adminKeyRoutes.get("/", async (c) => {
  const { rows, next } = await adminKeysPage(c.env, readPage(c));
  return c.json({ adminKeys: rows.map(printAdminKey), next });
});

adminKeyRoutes.delete("/:adminKey", async (c) => {
  const id = pathId(c, "adminKey", AdminKeyId, "admin key");
  if ((await adminKeyById(c.env, id)) === undefined)
    throw new Complaint("not_found", "there is no such admin key");
  const nowMs = Date.now();
  await revokeAdminKey(c.env, id, nowMs);
  /** What it has made lives on: whoever revokes a stolen key wants to know. */
  return c.json({ id, revoked: true, liveKeysItMade: await liveKeysMadeBy(c.env, id, nowMs) });
});

function expiryWithin(maker: Admin, asked: number | null | undefined, nowMs: number): number | null {
  if (asked === undefined) return maker.expiresAtMs;
  if ((asked ?? Infinity) <= nowMs) throw wrong("expiresAtMs", "is in the past");
  if ((asked ?? Infinity) > (maker.expiresAtMs ?? Infinity))
    throw wrong("expiresAtMs", "is later than the key that asks expires itself");
  return asked;
}

function printAdminKey(row: AdminKeyRow) {
  const { id, name, madeBy, createdAtMs, expiresAtMs, revokedAtMs } = row;
  const scopes = JSON.parse(row.scopes) as unknown;
  return {
    id,
    name,
    shown: `sk-admin-...${row.lastFour}`,
    scopes,
    madeBy,
    createdAtMs,
    expiresAtMs,
    revokedAtMs,
  };
}
