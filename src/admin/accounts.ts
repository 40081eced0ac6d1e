/**
 * Accounts: make, list, look at, limit, suspend, give credit. The account's object is asked and told first, always; D1's
 * list follows. If the list cannot be written the answer is an error, and asking again does no harm.
 */
import { UpstreamsAllowed } from "@sluice/protocol/account";
import { CreditKind } from "@sluice/protocol/account-log";
import { randomName } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import type { AccountStatus } from "../core/account.ts";
import { accountObject, type Env } from "../core/env.ts";
import { BALANCE_NANO_USD_MAX, parseUsd, printUsd } from "../core/money.ts";
import { accountById, accountsPage, listAccount, markDeleted, renameAccount } from "../db/accounts.ts";
import { modelById } from "../db/models.ts";
import { Complaint, wrong } from "./complaint.ts";
import {
  accountOf,
  Cache,
  hasHome,
  HOMES,
  LIMITS,
  Name,
  NANO_USD_MAX,
  readInput,
  readPage,
  Regions,
  type AdminEnv,
} from "./input.ts";

const ACCOUNT_NAME_CHARS = 12;

const CreateAccount = z.strictObject({
  name: Name,
  /** The jurisdiction the account's object lives in. Part of the account's id: it cannot change. */
  home: z.enum(HOMES).default("any"),
  regions: Regions.exactOptional(),
  ...LIMITS,
  cache: Cache.exactOptional(),
  upstreams: UpstreamsAllowed.exactOptional(),
});

const ChangeAccount = z
  .strictObject({
    name: Name.exactOptional(),
    suspended: z.boolean().exactOptional(),
    regions: Regions.exactOptional(),
    ...LIMITS,
    cache: Cache.exactOptional(),
    upstreams: UpstreamsAllowed.exactOptional(),
  })
  .refine((change) => Object.keys(change).length > 0, { error: "nothing to change was given" });

const Credit = z
  .strictObject({
    /** The caller's own id for this credit: giving it twice credits once. */
    creditId: z.string().min(1).max(64),
    /** "12.34"; negative for a correction. */
    amountUsd: z.string().exactOptional(),
    amountNanoUsd: z.int().exactOptional(),
    note: z.string().max(200).default(""),
    /** Granted money is spent first, and may end. */
    kind: CreditKind.default("topped_up"),
    /** Of granted money alone; null: never. */
    expiresAtMs: z.int().min(0).nullable().default(null),
  })
  .refine((credit) => (credit.amountUsd === undefined) !== (credit.amountNanoUsd === undefined), {
    path: ["amountUsd"],
    error: 'give either amountUsd, as text like "12.34", or amountNanoUsd, as an integer',
  })
  .refine((credit) => credit.expiresAtMs === null || credit.kind === "granted", {
    path: ["expiresAtMs"],
    error: "is for granted credit: what was topped up does not end",
  });

/** Without a model: everything. */
const Purge = z.strictObject({ model: z.string().min(1).max(128).exactOptional() });

export const accountRoutes = new Hono<AdminEnv>();

accountRoutes.post("/", async (c) => {
  const { home, ...settings } = await readInput(c, CreateAccount);
  if (!hasHome(c.env, home))
    throw wrong("home", 'is "any" alone in a local run, which has no jurisdictions to keep an account in');
  const dice = crypto.getRandomValues(new Uint8Array(ACCOUNT_NAME_CHARS));
  const account = `acc_${home}_${randomName(ACCOUNT_NAME_CHARS, dice)}`;
  await accountObject(c.env, account).configure({ account, ...settings });
  await listAccount(c.env, { id: account, name: settings.name, createdAtMs: Date.now() });
  c.header("location", `/admin/v1/accounts/${account}`);
  return c.json({ account: printStatus(await statusOf(c.env, account)) }, 201);
});

accountRoutes.get("/", async (c) => {
  const { rows, next } = await accountsPage(c.env, readPage(c));
  return c.json({ accounts: rows, next });
});

accountRoutes.get("/:account", async (c) => {
  const account = accountOf(c);
  const [status, row] = await Promise.all([
    statusOf(c.env, account),
    // The books away are no reason to keep back what the object says.
    accountById(c.env, account).catch(() => undefined),
  ]);
  return c.json({ account: { ...printStatus(status), deletedAtMs: row?.deletedAtMs ?? null } });
});

accountRoutes.patch("/:account", async (c) => {
  const account = accountOf(c);
  const change = await readInput(c, ChangeAccount);
  // `configure` makes what is not there: a mistyped id must not become an account.
  await statusOf(c.env, account);
  await mustLive(c.env, account);
  await accountObject(c.env, account).configure({ account, ...change });
  if (change.name !== undefined) await renameAccount(c.env, account, change.name);
  return c.json({ account: printStatus(await statusOf(c.env, account)) });
});

accountRoutes.post("/:account/credits", async (c) => {
  const account = accountOf(c);
  const { creditId, note, amountUsd, amountNanoUsd, kind, expiresAtMs } = await readInput(c, Credit);
  if (expiresAtMs !== null && expiresAtMs <= Date.now()) throw wrong("expiresAtMs", "is in the past");
  const nano = amountUsd === undefined ? (amountNanoUsd ?? 0) : parseUsd(amountUsd);
  const field = amountUsd === undefined ? "amountNanoUsd" : "amountUsd";
  if (nano === undefined) throw wrong(field, 'is not an amount like "12.34", with nine decimals at most');
  if (nano === 0) throw wrong(field, "must not be nothing");
  if (Math.abs(nano) > NANO_USD_MAX) throw wrong(field, "is more than a million dollars at once");
  await statusOf(c.env, account);
  if (nano > 0) await mustLive(c.env, account);
  const credit = { creditId, amountNanoUsd: nano, note, kind, expiresAtMs };
  const { balanceNanoUsd, refused } = await accountObject(c.env, account).credit(credit);
  if (refused === "other_credit")
    throw new Complaint("conflict", `creditId: "${creditId}" was given with another amount or kind`, [
      { param: "creditId", message: "was given with another amount or kind; a new credit takes a new id" },
    ]);
  if (refused !== undefined)
    throw wrong(
      field,
      `would bring the balance beyond $${printUsd(BALANCE_NANO_USD_MAX)}, which is the most`,
    );
  return c.json({ account, creditId, balanceNanoUsd, balanceUsd: printUsd(balanceNanoUsd) });
});

/**
 * Ends an account: from the next call on none of its keys starts anything, and no cached answer opens. What runs is still
 * billed. Its usage and ledger stay for their time (keeping/retention.ts), then they go, and its object with them.
 */
accountRoutes.delete("/:account", async (c) => {
  const account = accountOf(c);
  const { balanceNanoUsd } = await statusOf(c.env, account);
  await accountObject(c.env, account).retire();
  await markDeleted(c.env, account, Date.now());
  return c.json({ id: account, deleted: true, balanceNanoUsd, balanceUsd: printUsd(balanceNanoUsd) });
});

/** From the next call on no cached answer opens; they are not deleted, they are forgotten. */
accountRoutes.post("/:account/cache/purge", async (c) => {
  const account = accountOf(c);
  const { model = null } = await readInput(c, Purge);
  await statusOf(c.env, account);
  if (model !== null && (await modelById(c.env, model)) === undefined)
    throw wrong("model", `"${model}" is no model here; name the model and not an alias`);
  await accountObject(c.env, account).forgetAnswers(model);
  return c.json({ account, model, purged: true });
});

/** The account as its object sees it, or a 404. */
export async function statusOf(env: Env, account: string): Promise<AccountStatus> {
  const status = await accountObject(env, account).status();
  if (status === null) throw new Complaint("not_found", "there is no such account");
  return status;
}

/** An account that was deleted takes no keys, no money and no settings any more. */
export async function mustLive(env: Env, account: string): Promise<void> {
  const row = await accountById(env, account);
  if ((row?.deletedAtMs ?? null) !== null) throw new Complaint("conflict", "this account was deleted");
}

function printStatus({ account, ...status }: AccountStatus) {
  return {
    id: account,
    ...status,
    balanceUsd: printUsd(status.balanceNanoUsd),
    grantedUsd: printUsd(status.grantedNanoUsd),
    toppedUpUsd: printUsd(status.toppedUpNanoUsd),
    heldUsd: printUsd(status.heldNanoUsd),
  };
}
