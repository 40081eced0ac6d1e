/** How an account stands: its settings, its money, and what is under way. */
import type { AccountStatus, LogAfter, LookAnswer, LookAsk } from "../core/account.ts";
import { ACCOUNT } from "./admission.ts";
import type { Books } from "./books.ts";
import { grantedNanoUsd } from "./grants.ts";
import { keyStatus, usedNow } from "./keys.ts";
import { lookRefusal } from "./look.ts";

/** Events in one answer. */
const LOG_EVENTS_MAX = 100;
/** Unconfirmed events that are searched for requests. */
const UNCONFIRMED_EVENTS_MAX = 2_000;

/** Null where there is no such account. */
export function accountStatus(
  books: Books,
  holds: { readonly open: number; readonly waiting: number },
  nowMs: number,
): AccountStatus | null {
  const { account } = books;
  if (account === undefined) return null;
  const granted = grantedNanoUsd(account.grants);
  return {
    account: account.account,
    name: account.name,
    suspended: account.suspended,
    regions: account.regions,
    upstreams: account.upstreams,
    ...account.limits,
    used: usedNow(books, ACCOUNT, nowMs),
    balanceNanoUsd: account.balanceNanoUsd,
    grantedNanoUsd: granted,
    toppedUpNanoUsd: account.balanceNanoUsd - granted,
    grants: account.grants,
    heldNanoUsd: books.heldNanoUsd,
    holdsOpen: holds.open,
    holdsPending: holds.waiting,
    eventsUnprojected: account.lastSeq - books.purse.appliedSeq,
    lastSeq: account.lastSeq,
  };
}

/** The log beyond a number, for comparing it with D1's. Null where there is no such account. */
export function logAfter(books: Books, seq: number): LogAfter | null {
  const { account, purse, store } = books;
  if (account === undefined) return null;
  // What follows a gap is no answer: the gap is.
  const events = store.log.after(seq, LOG_EVENTS_MAX).filter((event, at) => event.seq === seq + 1 + at);
  const { balanceNanoUsd, lastSeq } = account;
  return { balanceNanoUsd, lastSeq, appliedSeq: purse.appliedSeq, ...store.log.moneyAfter(seq), events };
}

/** Of these requests, those that run, or of which there is an event that D1 has not confirmed. */
export function underWay({ store, purse }: Books, requests: readonly string[]): string[] {
  const events = store.log.after(purse.appliedSeq, UNCONFIRMED_EVENTS_MAX);
  // There may be more of them than are searched: of none can be said that it is not among them.
  if (events.length === UNCONFIRMED_EVENTS_MAX) return [...requests];
  const told = new Set(events.flatMap((event) => (event.kind === "usage" ? [event.request] : [])));
  return requests.filter((request) => {
    const hold = store.holds.get(request);
    return told.has(request) || (hold !== undefined && hold.state !== "closed");
  });
}

/** What a key may know; `account` is how its account stands. */
export function lookAnswer(
  books: Books,
  ask: LookAsk,
  account: AccountStatus | null,
  nowMs: number,
): LookAnswer {
  const path = books.keyring.path(ask.key.id);
  const refusal = lookRefusal(ask, path, nowMs);
  const [key] = path;
  if (refusal !== null || key === undefined || account === null)
    return { ok: false, refusal: refusal ?? { kind: "unknown_key" } };
  const request = ask.request === undefined ? null : books.requestNow(ask.request);
  return { ok: true, account, key: keyStatus(books, key, nowMs), request };
}
