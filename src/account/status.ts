/** How an account stands: its settings, its money, and what is under way. */
import type { AccountStatus } from "../core/account.ts";
import { ACCOUNT } from "./admission.ts";
import type { Books } from "./books.ts";
import { grantedNanoUsd } from "./grants.ts";
import { usedNow } from "./keys.ts";

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
