/**
 * What nodes journalled and the edge never billed: the other direction of journals.ts, which asks about what was billed. A node
 * lists its attempts in the order in which they began; of each the sealed ticket says whose request it was, and D1 whether there is a
 * row that knows the attempt. A receipt that nobody has taken for an hour is told too.
 *
 * Nothing is repaired here: the node sends its receipts until an edge takes them. What is listed here was taken and is
 * not there, or is never taken, and a person should look.
 */
import { journalListPath, JournalList } from "@sluice/protocol/journal";
import { openTicket, ticketSecretId } from "@sluice/protocol/ticket";
import { accountObject, type Env } from "../core/env.ts";
import { secretsOf, ticketKey } from "../core/secrets.ts";
import { attemptsKnown } from "../db/usage.ts";
import { askNode } from "./ask-node.ts";

/** By then a request is over, its receipt has been taken and its row is in D1, unless something is wrong. */
export const SETTLED_AFTER_MS = 60 * 60_000;

export type Unbilled = {
  readonly what:
    /** No row of the request, or none that knows this attempt. */
    | "unbilled"
    /** No edge has taken its receipt for an hour. */
    | "unacknowledged"
    /** Its ticket is not one of ours, or was sealed under a secret that is not here any more. */
    | "unreadable";
  readonly account: string | null;
  readonly request: string;
  readonly ordinal: number;
  readonly positions: number;
  readonly ended: string;
};

export type Walked = {
  readonly node: string;
  /** False: it is away, or of a build that lists nothing. */
  readonly reached: boolean;
  readonly listed: number;
  /** Of accounts whose events are still on their way to D1: not compared. */
  readonly early: number;
  readonly differences: readonly Unbilled[];
  /** Where the next call goes on: as a cursor of this node's journal. */
  readonly cursor: string;
  readonly more: boolean;
};

type Listed = JournalList["attempts"][number];

/** One list's worth of a node's journal, beyond a cursor; "" is its beginning. */
export async function walkJournal(env: Env, node: string, cursor: string, nowMs: number): Promise<Walked> {
  const [sinceMs, after] = readCursor(cursor);
  const list = (from: number) =>
    askNode(env, node, journalListPath(from, nowMs - SETTLED_AFTER_MS), JournalList);
  let found = await list(after);
  // Another journal than the one the cursor is of: from its beginning.
  if (found && found.sinceMs !== sinceMs && after > 0) found = await list(0);
  const nothing = { node, reached: false, listed: 0, early: 0, differences: [], cursor, more: false };
  if (!found) return nothing;
  const { attempts, more } = found;
  const { early, differences } = await compare(env, node, attempts);
  const last = attempts.at(-1)?.id ?? (found.sinceMs === sinceMs ? after : 0);
  return {
    node,
    reached: true,
    listed: attempts.length,
    early,
    differences,
    cursor: `${found.sinceMs}:${last}`,
    more,
  };
}

function readCursor(cursor: string): readonly [sinceMs: number, after: number] {
  const [sinceMs = Number.NaN, after = Number.NaN] = cursor.split(":").map(Number);
  return Number.isSafeInteger(sinceMs) && Number.isSafeInteger(after) ? [sinceMs, after] : [0, 0];
}

async function compare(
  env: Env,
  node: string,
  attempts: readonly Listed[],
): Promise<{ readonly early: number; readonly differences: Unbilled[] }> {
  const opened = await Promise.all(
    attempts.map(async (listed) => ({ listed, account: await accountOf(env, node, listed.ticket) })),
  );
  const named = opened.flatMap(({ listed, account }) =>
    account === null ? [] : [{ account, request: listed.attempt.request }],
  );
  const known = await attemptsKnown(env, named);
  const onTheWay = new Map<string, Promise<boolean>>();
  let early = 0;
  const differences: Unbilled[] = [];
  for (const { listed, account } of opened) {
    const { request, ordinal } = listed.attempt;
    const tell = (what: Unbilled["what"]): void => {
      differences.push({ what, account, request, ordinal, positions: listed.to, ended: listed.ended });
    };
    if (account === null) {
      tell("unreadable");
      continue;
    }
    if ((known.get(`${account} ${request}`) ?? 0) <= ordinal) {
      const waits = onTheWay.get(account) ?? isOnTheWay(env, account);
      onTheWay.set(account, waits);
      if (await waits) early += 1;
      else tell("unbilled");
    } else if (listed.receipt === "waiting") {
      tell("unacknowledged");
    }
  }
  return { early, differences };
}

/** Whether D1 has yet to hear of what the account's object knows; an account that is gone has nothing to be compared with. */
async function isOnTheWay(env: Env, account: string): Promise<boolean> {
  const status = await accountObject(env, account).status();
  return status === null || status.eventsUnprojected > 0;
}

async function accountOf(env: Env, node: string, sealed: string): Promise<string | null> {
  const secretId = ticketSecretId(sealed);
  const key = secretId === undefined ? undefined : await ticketKey(secretsOf(env), secretId, node);
  if (key === undefined) return null;
  const opened = await openTicket(key, node, sealed);
  return opened.ok ? opened.ticket.account : null;
}
