/**
 * What nodes journalled and the edge never billed: the other direction of journals.ts, which asks about what was billed. A node
 * lists its attempts in the order in which they began; of each the sealed ticket says whose request it was, and D1 whether there is a
 * row that knows the attempt. Where there is none, the account's object is asked about that very request. A receipt that nobody has
 * taken for an hour is told too.
 *
 * The walk waits for what D1 has yet to hear of, and for what just ended: nothing is passed that was not compared. It waits a day at
 * most, so that no account that cannot be asked hides what others lack.
 *
 * Nothing is repaired here: the node sends its receipts until an edge takes them. What is listed here was taken and is
 * not there, or is never taken, and a person should look.
 */
import { journalListPath, JournalList } from "@sluice/protocol/journal";
import { openTicket, ticketSecretId, type Ticket } from "@sluice/protocol/ticket";
import { accountObject, type Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { secretsOf, ticketKey } from "../core/secrets.ts";
import { attemptsKnown } from "../db/usage.ts";
import { askNode } from "./ask-node.ts";

/** By then a request is over, its receipt has been taken and its row is in D1, unless something is wrong. */
const SETTLED_AFTER_MS = 60 * 60_000;
/** Whatever its account's object says: a call issued so long ago has its row, or it is told. */
const EARLY_MAX_MS = 24 * 60 * 60_000;

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
  /** Not compared yet, and the cursor stays before them: the first of them just ended, or D1 has yet to hear of its request. */
  readonly early: number;
  readonly differences: readonly Unbilled[];
  /** When the last that was compared had been issued; null where none was. */
  readonly comparedToMs: number | null;
  /** Where the next call goes on: as a cursor of this node's journal. */
  readonly cursor: string;
  readonly more: boolean;
};

type Listed = JournalList["attempts"][number];
type Opened = { readonly listed: Listed; readonly ticket: Ticket | null };
/** As attemptsKnown has it. */
type Known = ReadonlyMap<string, number>;

/** One list's worth of a node's journal, beyond a cursor; "" is its beginning. */
export async function walkJournal(env: Env, node: string, cursor: string, nowMs: number): Promise<Walked> {
  const [sinceMs, after] = readCursor(cursor);
  const list = (from: number) =>
    askNode(env, node, journalListPath(from, nowMs - SETTLED_AFTER_MS), JournalList);
  let found = await list(after);
  // Another journal than the one the cursor is of, or an older state of it: from its beginning.
  const isAnother = found && (found.sinceMs !== sinceMs || (found.lastId ?? after) < after);
  if (isAnother && after > 0) found = await list(0);
  const nothing = {
    node,
    reached: false,
    listed: 0,
    early: 0,
    differences: [],
    comparedToMs: null,
    cursor,
    more: false,
  };
  if (!found) return nothing;
  const { attempts, more } = found;
  const { compared, comparedToMs, differences } = await compare(env, node, attempts, nowMs);
  const last = attempts[compared - 1]?.id ?? (isAnother === true ? 0 : after);
  const early = attempts.length - compared;
  return {
    node,
    reached: true,
    listed: attempts.length,
    early,
    differences,
    comparedToMs,
    cursor: `${found.sinceMs}:${last}`,
    more: more && early === 0,
  };
}

function readCursor(cursor: string): readonly [sinceMs: number, after: number] {
  const [sinceMs = Number.NaN, after = Number.NaN] = cursor.split(":").map(Number);
  return Number.isSafeInteger(sinceMs) && Number.isSafeInteger(after) ? [sinceMs, after] : [0, 0];
}

/** How many of them, from the first on, could be compared; and what was found. */
async function compare(
  env: Env,
  node: string,
  attempts: readonly Listed[],
  nowMs: number,
): Promise<Pick<Walked, "comparedToMs" | "differences"> & { readonly compared: number }> {
  const young = attempts.findIndex(({ endedAtMs = 0 }) => endedAtMs > nowMs - SETTLED_AFTER_MS);
  const settled = young < 0 ? attempts : attempts.slice(0, young);
  const opened = await Promise.all(
    settled.map(async (listed) => ({ listed, ticket: await opening(env, node, listed.ticket) })),
  );
  const tickets = opened.flatMap(({ ticket }) => ticket ?? []);
  const known = await attemptsKnown(env, tickets.map(named));
  const missing = tickets.filter((ticket) => !isKnown(known, ticket));
  const waiting = await underWay(env, missing);
  // Again: what came to D1 before its object was asked is under way no more.
  const knownNow = await attemptsKnown(env, missing.map(named));
  const differences: Unbilled[] = [];
  let compared = 0;
  let comparedToMs: number | null = null;
  for (const one of opened) {
    const { ticket } = one;
    const isMissing = ticket !== null && !isKnown(known, ticket) && !isKnown(knownNow, ticket);
    if (isMissing && waiting.has(nameOf(ticket)) && ticket.issuedAtMs > nowMs - EARLY_MAX_MS) break;
    compared += 1;
    comparedToMs = ticket?.issuedAtMs ?? comparedToMs;
    if (ticket === null) differences.push(told(one, "unreadable"));
    else if (isMissing) differences.push(told(one, "unbilled"));
    else if (one.listed.receipt === "waiting") differences.push(told(one, "unacknowledged"));
  }
  return { compared, comparedToMs, differences };
}

function told({ listed, ticket }: Opened, what: Unbilled["what"]): Unbilled {
  // What the edge sealed holds, and not what the node calls it.
  const { request, ordinal } = ticket ?? listed.attempt;
  return {
    what,
    account: ticket?.account ?? null,
    request,
    ordinal,
    positions: listed.to,
    ended: listed.ended,
  };
}

function named({ account, request }: Ticket): { readonly account: string; readonly request: string } {
  return { account, request };
}

function nameOf({ account, request }: Ticket): string {
  return `${account} ${request}`;
}

function isKnown(known: Known, ticket: Ticket): boolean {
  return (known.get(nameOf(ticket)) ?? 0) > ticket.ordinal;
}

/** Of requests that D1 lacks, those that may still come: their accounts' objects say so, or cannot be asked. */
async function underWay(env: Env, tickets: readonly Ticket[]): Promise<ReadonlySet<string>> {
  const byAccount = Map.groupBy(tickets, ({ account }) => account);
  const waiting = await Promise.all(
    [...byAccount].map(async ([account, ofAccount]) => {
      const requests = [...new Set(ofAccount.map(({ request }) => request))];
      try {
        return (await accountObject(env, account).underWay(requests)).map(
          (request) => `${account} ${request}`,
        );
      } catch (error) {
        logError("account_not_asked", error, { account });
        return requests.map((request) => `${account} ${request}`);
      }
    }),
  );
  return new Set(waiting.flat());
}

/** Null where it is not one of ours, or was sealed under a secret that is not here. */
async function opening(env: Env, node: string, sealed: string): Promise<Ticket | null> {
  const secretId = ticketSecretId(sealed);
  const key = secretId === undefined ? undefined : await ticketKey(secretsOf(env), secretId, node);
  if (key === undefined) return null;
  const opened = await openTicket(key, node, sealed);
  return opened.ok ? opened.ticket : null;
}
