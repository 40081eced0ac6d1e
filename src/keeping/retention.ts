/**
 * How long what is written is kept, and the step by which cron removes what is older. Every step is bounded and may be
 * repeated; where it did not come to the end, the next one goes on.
 *
 * The times are defaults; laws differ, so a deployment may set its own (`SLUICE_RETENTION_DAYS`). A setting that cannot
 * be read removes nothing: too much kept can be removed later.
 */
import { z } from "zod";
import { accountObject, type Env } from "../core/env.ts";
import { log, logError } from "../core/log.ts";
import { accountsAfter, choreCursor, saveChoreCursor } from "../db/chores.ts";
import {
  BITE_ROWS,
  deletedBefore,
  removeAccountRows,
  removeAlerts,
  removeAudit,
  removeLedger,
  removeRollups,
  removeUsage,
} from "../db/retention.ts";

/** Late corrections come within a week; nothing that may still be corrected is removed. */
const DAYS_MIN = 30;
const Days = z.int().min(DAYS_MIN).max(36_500);

const Retention = z.strictObject({
  /** Rows of single requests, receipts included: thirteen months. */
  usage: Days.default(400),
  rollups: Days.default(1_100),
  audit: Days.default(730),
  alerts: Days.default(90),
  /** Of a deleted account: seven years. A living account's ledger stays, because its balance is its sum. */
  ledgerAfterDeletion: Days.default(2_557),
});
export type Retention = z.infer<typeof Retention>;

const DAY_MS = 86_400_000;
const CURSOR = "retention";
const REMOVAL_CURSOR = "removal";
const ACCOUNTS_PER_STEP = 50;
/** Of all accounts of a step together: a bite of each, and the others go to those that have more. */
export const TURNS_PER_STEP = 110;
const DELETED_PER_STEP = 5;
/** Of each table of a deleted account. */
const BITES_PER_STEP = 10;

/** Undefined where the setting cannot be read. */
export function retentionOf(text: string | undefined): Retention | undefined {
  try {
    return Retention.parse(text === undefined || text === "" ? {} : JSON.parse(text));
  } catch (error) {
    logError("retention_unreadable", error);
    return undefined;
  }
}

export async function removeOld(env: Env, nowMs: number): Promise<void> {
  const keep = retentionOf(env.SLUICE_RETENTION_DAYS);
  if (keep === undefined) return;
  const before = (days: number): number => nowMs - days * DAY_MS;
  await removeAlerts(env, before(keep.alerts));
  await removeAudit(env, before(keep.audit));
  await removeDeleted(env, before(keep.ledgerAfterDeletion), nowMs);
  const after = await choreCursor(env, CURSOR);
  const accounts = await accountsAfter(env, after, ACCOUNTS_PER_STEP);
  await inTurns(accounts, async (account) => {
    const usage = await removeUsage(env, account, before(keep.usage));
    const rollups = await removeRollups(env, account, before(keep.rollups));
    return usage === BITE_ROWS || rollups === BITE_ROWS;
  });
  const next = accounts.length < ACCOUNTS_PER_STEP ? "" : (accounts.at(-1) ?? "");
  if (next !== after) await saveChoreCursor(env, CURSOR, next, nowMs);
}

/**
 * One bite of each account, then another of each that has more, until none has or the step's turns are over: what is left comes
 * again with the next round, so that no account, however much of it is old, keeps the others' from going.
 */
async function inTurns(
  accounts: readonly string[],
  bite: (account: string) => Promise<boolean>,
): Promise<void> {
  let turns = 0;
  for (let waiting = accounts; waiting.length > 0;) {
    const more: string[] = [];
    for (const account of waiting) {
      if (turns++ >= TURNS_PER_STEP) return;
      if (await bite(account)) more.push(account);
    }
    waiting = more;
  }
}

/**
 * Deleted accounts whose time is over, some at a time and all in turn: one that cannot be removed, or not yet whole, is passed, and
 * comes again with the next round, so that no number of them, and no size of one, keeps the others from going.
 */
async function removeDeleted(env: Env, beforeMs: number, nowMs: number): Promise<void> {
  const after = await choreCursor(env, REMOVAL_CURSOR);
  const accounts = await deletedBefore(env, beforeMs, { after, limit: DELETED_PER_STEP });
  let next = after;
  for (const account of accounts) {
    try {
      await removeAccount(env, account, nowMs);
    } catch (error) {
      logError("account_removal_failed", error, { account });
    }
    next = account;
  }
  if (next === (accounts.at(-1) ?? next) && accounts.length < DELETED_PER_STEP) next = "";
  if (next !== after) await saveChoreCursor(env, REMOVAL_CURSOR, next, nowMs);
}

/**
 * All that is left of a deleted account: its object first, because what still comes out of one needs the ledger's end;
 * the lists last, so that an unfinished removal is found again.
 */
async function removeAccount(env: Env, account: string, nowMs: number): Promise<void> {
  if (!(await accountObject(env, account).erase())) {
    log("account_not_erased", { account });
    return;
  }
  const areGone = [
    await removeAll(() => removeUsage(env, account, nowMs)),
    await removeAll(() => removeRollups(env, account, nowMs)),
    await removeAll(() => removeLedger(env, account)),
  ];
  if (areGone.includes(false)) return;
  await removeAccountRows(env, account);
  log("account_erased", { account });
}

/** False where more is there than one step removes. */
async function removeAll(bite: () => Promise<number>): Promise<boolean> {
  for (let bites = 0; bites < BITES_PER_STEP; bites++) if ((await bite()) < BITE_ROWS) return true;
  return false;
}
