/**
 * The clocks of settlement: how long a hold lives, and how long an ending waits for what is still missing. Pure. A test
 * that cannot wait a quarter of an hour shortens them with SLUICE_CLOCKS; a deployment cannot, because each of them is
 * a promise to customers.
 */
import { CALL_VALID_MS, CLOSE_WITHOUT_WORD_MS, HOLD_LAPSE_MS, PENDING_MAX_MS } from "@sluice/protocol/limits";
import { z } from "zod";
import type { Env } from "../core/env.ts";

/** A request has at least this long to find its first node. */
const ISSUE_WITHIN_MIN_MS = 1_000;

const Overrides = z
  .object({
    holdLapseMs: z.int().min(1),
    closeWithoutWordMs: z.int().min(1),
    pendingMaxMs: z.int().min(1),
    strikeRetryMs: z.int().min(1),
    projectDelayMs: z.int().min(1),
    gatherMs: z.int().min(1),
    resendMs: z.int().min(1),
    logKeepMs: z.int().min(1),
    lateKeepMs: z.int().min(1),
    admitWaitMs: z.int().min(1),
  })
  .partial();

export type Clocks = {
  /** A hold that nothing has named or renewed for this long lapses. */
  readonly holdLapseMs: number;
  /** After the admission: no first call is issued later, so that a lapsed hold's call has soon been valid for good. */
  readonly issueWithinMs: number;
  readonly closeWithoutWordMs: number;
  readonly pendingMaxMs: number;
  /** A lapsed hold that waits for nodes to be `complete through` asks again this often. */
  readonly strikeRetryMs: number;
  /** From an event's commit to its sending: what else happens in between shares the message. */
  readonly projectDelayMs: number;
  /** Where messages leave all the time, each gathers events for so long (pace.ts). */
  readonly gatherMs: number;
  /** An event that D1 has not confirmed after this long is sent again. */
  readonly resendMs: number;
  /** Events stay in the log at least this long, confirmed or not: a word that comes late finds its request there. */
  readonly logKeepMs: number;
  /** A request closed without its receipt waits this long for it to turn up, for the usage's sake. */
  readonly lateKeepMs: number;
  /** How long an admission waits for another request's hold to close. */
  readonly admitWaitMs: number;
};

/** Later than anything: a closed request has nothing left to wait for. */
export const LATEST_MS = Number.MAX_SAFE_INTEGER;

const DAY_MS = 24 * 60 * 60_000;

const CLOCKS: Clocks = {
  holdLapseMs: HOLD_LAPSE_MS,
  issueWithinMs: HOLD_LAPSE_MS - CALL_VALID_MS,
  closeWithoutWordMs: CLOSE_WITHOUT_WORD_MS,
  pendingMaxMs: PENDING_MAX_MS,
  strikeRetryMs: 5_000,
  projectDelayMs: 100,
  gatherMs: 5_000,
  resendMs: 60_000,
  logKeepMs: 2 * 60_000,
  lateKeepMs: 7 * DAY_MS,
  admitWaitMs: 500,
};

/** Throws where a development override cannot be read: a test with the wrong clocks would prove nothing. */
export function parseClocks(env: Pick<Env, "SLUICE_DEV" | "SLUICE_CLOCKS">): Clocks {
  if (env.SLUICE_DEV !== "1" || env.SLUICE_CLOCKS === undefined || env.SLUICE_CLOCKS === "") return CLOCKS;
  const given = Overrides.parse(JSON.parse(env.SLUICE_CLOCKS));
  const holdLapseMs = given.holdLapseMs ?? CLOCKS.holdLapseMs;
  return {
    holdLapseMs,
    issueWithinMs: Math.max(ISSUE_WITHIN_MIN_MS, holdLapseMs - CALL_VALID_MS),
    closeWithoutWordMs: given.closeWithoutWordMs ?? CLOCKS.closeWithoutWordMs,
    pendingMaxMs: given.pendingMaxMs ?? CLOCKS.pendingMaxMs,
    strikeRetryMs: given.strikeRetryMs ?? CLOCKS.strikeRetryMs,
    projectDelayMs: given.projectDelayMs ?? CLOCKS.projectDelayMs,
    gatherMs: given.gatherMs ?? CLOCKS.gatherMs,
    resendMs: given.resendMs ?? CLOCKS.resendMs,
    logKeepMs: given.logKeepMs ?? CLOCKS.logKeepMs,
    lateKeepMs: given.lateKeepMs ?? CLOCKS.lateKeepMs,
    admitWaitMs: given.admitWaitMs ?? CLOCKS.admitWaitMs,
  };
}
