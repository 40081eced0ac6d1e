/**
 * Compares an account's books: its object, D1's ledger, D1's rows of usage, the rollups made of them, and the nodes'
 * journals. What D1 lacks and the object still has is brought to D1; rollups are made anew from their rows. Everything
 * else is told and left alone: money is never made up to make two sums agree.
 *
 * Bounded: one call adds up a stretch of the ledger from where the last one ended, and looks at a window of hours.
 */
import { accountObject, type Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { applyEvents, readApplied } from "../db/ledger.ts";
import { raiseAlert } from "../db/alerts.ts";
import { accountsAfter, choreCursor, saveChoreCursor } from "../db/chores.ts";
import {
  checkpointOf,
  forgetCheckpoint,
  ledgerSums,
  remakeHour,
  REVISED_WITHIN_MS,
  saveCheckpoint,
  wrongHours,
} from "../db/reconcile.ts";
import { HOUR_MS } from "../db/rollups.ts";
import { retentionOf } from "./retention.ts";
import { checkJournals, type JournalsCheck } from "./journals.ts";

export type Difference = {
  readonly what:
    /** D1 lacks events that the object believes it has. */
    | "d1_behind"
    /** Events that neither has any more. */
    | "events_lost"
    /** Balance and ledger disagree. */
    | "balance"
    /** The ledger's entries and the rows they stand for disagree. */
    | "usage"
    /** Rollups are not the sums of their rows. */
    | "rollups"
    /** A node's journal has another number of positions than was billed. */
    | "journal";
  readonly detail: string;
  readonly expected: number | null;
  readonly found: number | null;
  readonly repaired: boolean;
};

export type Reconciled = {
  readonly account: string;
  /** Of the account's log: how far D1 has it, and how far it was compared. */
  readonly throughSeq: number;
  readonly comparedSeq: number;
  readonly balanceNanoUsd: number;
  readonly ledgerNanoUsd: number;
  readonly differences: readonly Difference[];
  readonly journals: Omit<JournalsCheck, "differing">;
  /** False where the ledger is longer than one call adds up: the next goes on. */
  readonly complete: boolean;
};

export type ReconcileAsk = {
  /** From the ledger's beginning, and not from where the last comparison ended. */
  readonly whole: boolean;
  /** How many of the newest requests are looked up in the nodes' journals. */
  readonly journals: number;
};

const DAY_MS = 24 * HOUR_MS;
/** Corrections come within a week, almost all of them within the hour. */
const WINDOW_HOURS = 48;
/** Rounds of a hundred events that one repair brings to D1. */
const REPAIR_ROUNDS_MAX = 20;
const CURSOR = "reconcile";
const ACCOUNTS_PER_STEP = 10;
const CRON_JOURNALS = 3;

/** Undefined where there is no such account. */
export async function reconcile(
  env: Env,
  account: string,
  { whole, journals }: ReconcileAsk,
  nowMs: number,
): Promise<Reconciled | undefined> {
  const object = accountObject(env, account);
  if (whole) await forgetCheckpoint(env, account);
  const from = await checkpointOf(env, account);
  const sums = await ledgerSums(env, account, from);
  const log = await object.logAfter(sums.throughSeq);
  if (log === null) return undefined;
  const differences: Difference[] = [];
  const complete = sums.uptoSeq === sums.throughSeq;
  // The two are read one after the other: what was applied in between is behind nothing, and its events may be gone.
  const isAhead = log.appliedSeq > sums.throughSeq;
  const d1Seq = isAhead ? ((await readApplied(env, [account])).get(account) ?? 0) : sums.throughSeq;
  const missing = d1Seq > sums.throughSeq ? 0 : log.lastSeq - sums.throughSeq - log.count;
  if (missing > 0)
    differences.push(
      told("events_lost", `${missing} after event ${sums.throughSeq}`, log.lastSeq, log.count),
    );
  if (log.appliedSeq > d1Seq) differences.push(await bringToD1(env, account, d1Seq, log.appliedSeq));
  const expected = log.balanceNanoUsd - log.moneyNanoUsd;
  if (complete && missing === 0 && expected !== sums.ledgerNanoUsd)
    differences.push(told("balance", `as of event ${sums.throughSeq}`, expected, sums.ledgerNanoUsd));
  // Rows that were too old are gone, and the ledger is not: then there is nothing to compare it with.
  const keep = retentionOf(env.SLUICE_RETENTION_DAYS)?.usage ?? 0;
  const rowsAreThere = sums.oldestAtMs > nowMs - keep * DAY_MS + REVISED_WITHIN_MS;
  if (rowsAreThere && (sums.chargedNanoUsd !== sums.rowsChargedNanoUsd || sums.usageEvents !== sums.rows))
    differences.push(
      told(
        "usage",
        `${sums.usageEvents} events in the ledger, ${sums.rows} rows, from event ${from.throughSeq + 1} to ${sums.uptoSeq}`,
        sums.chargedNanoUsd,
        sums.rowsChargedNanoUsd,
      ),
    );
  differences.push(...(await compareHours(env, account, nowMs)));
  const checked = await checkJournals(env, account, journals, nowMs);
  for (const { request, node, billed, journalled } of checked.differing)
    differences.push(told("journal", `${request} on ${node}`, billed, journalled));
  const open = differences.filter(({ what, repaired }) => !repaired && what !== "journal");
  // Where the ledger goes on, so does the comparing: what differs here has been told. At its end it is told again and again.
  if (open.length === 0 || !complete) {
    const { uptoSeq: throughSeq, ledgerNanoUsd, newestAtMs: atMs } = sums;
    if (throughSeq > from.throughSeq) await saveCheckpoint(env, account, { throughSeq, ledgerNanoUsd, atMs });
  } else if (open.some(({ what }) => what === "balance")) {
    // Perhaps it is the remembered sum that is wrong, or what it was made of has been put right: the next begins anew.
    await forgetCheckpoint(env, account);
  }
  return {
    account,
    throughSeq: sums.throughSeq,
    comparedSeq: sums.uptoSeq,
    balanceNanoUsd: log.balanceNanoUsd,
    ledgerNanoUsd: sums.ledgerNanoUsd,
    differences,
    journals: { asked: checked.asked, unreachable: checked.unreachable },
    complete,
  };
}

function told(
  what: Difference["what"],
  detail: string,
  expected: number | null,
  found: number | null,
): Difference {
  return { what, detail, expected, found, repaired: false };
}

/** The object forgets what D1 has had; what it still has is applied as the queue would have. */
async function bringToD1(env: Env, account: string, found: number, expected: number): Promise<Difference> {
  let reached = found;
  for (let round = 0; round < REPAIR_ROUNDS_MAX; round++) {
    const { events = [] } = (await accountObject(env, account).logAfter(reached)) ?? {};
    if (events.length === 0) break;
    reached = await applyEvents(env, account, reached, events);
  }
  const detail = `brought up to event ${reached}`;
  return { what: "d1_behind", detail, expected, found, repaired: reached >= expected };
}

async function compareHours(env: Env, account: string, nowMs: number): Promise<Difference[]> {
  const toMs = nowMs - (nowMs % HOUR_MS) + HOUR_MS;
  const wrong = await wrongHours(env, account, toMs - WINDOW_HOURS * HOUR_MS, toMs);
  const differences: Difference[] = [];
  for (const hourMs of wrong) {
    await remakeHour(env, account, hourMs);
    const detail = `${new Date(hourMs).toISOString().slice(0, 13)}:00Z made anew from its rows`;
    differences.push({ what: "rollups", detail, expected: null, found: null, repaired: true });
  }
  return differences;
}

/**
 * By cron: some accounts at a time, one after the other, and an alert where their books differ. One that cannot be
 * compared is told in the log and keeps none of the others waiting; its turn comes again with the next round.
 */
export async function reconcileStep(env: Env, nowMs: number): Promise<void> {
  const after = await choreCursor(env, CURSOR);
  const accounts = await accountsAfter(env, after, ACCOUNTS_PER_STEP);
  for (const account of accounts)
    try {
      await reconcileByCron(env, account, nowMs);
    } catch (error) {
      logError("reconcile_failed", error, { account });
    }
  const next = accounts.length < ACCOUNTS_PER_STEP ? "" : (accounts.at(-1) ?? "");
  if (next !== after) await saveChoreCursor(env, CURSOR, next, nowMs);
}

async function reconcileByCron(env: Env, account: string, nowMs: number): Promise<void> {
  const result = await reconcile(env, account, { whole: false, journals: CRON_JOURNALS }, nowMs);
  if (result === undefined || result.differences.length === 0) return;
  const detail = result.differences
    .map(({ what, detail, repaired }) => `${what}: ${detail}${repaired ? " (repaired)" : ""}`)
    .join("; ");
  await raiseAlert(env, { kind: "books_differ", subject: account, detail }, nowMs);
}
