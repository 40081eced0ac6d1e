/**
 * How an account ends: first it is retired, so that nothing starts any more while what runs is still billed; and when its
 * books have had their time, it is erased.
 */
import { toHex } from "@sluice/protocol/bytes";
import type { Books } from "./books.ts";
import { prepareTables } from "./tables.ts";

const SALT_BYTES = 16;

/** No key starts anything any more, and no cached answer opens. False where there is no such account. */
export function retire(books: Books, nowMs: number): boolean {
  const { account } = books;
  if (account === undefined) return false;
  books.keyring.revokeAll(nowMs);
  books.answers.forget();
  const cacheSalt = toHex(crypto.getRandomValues(new Uint8Array(SALT_BYTES)));
  books.purse.change({ ...account, suspended: true, cacheSalt });
  return true;
}

/** Nothing of it is open, and D1 has the whole log. */
export function isErasable({ account, purse, store }: Books): boolean {
  return account === undefined || (store.holds.nextDueMs() === null && account.lastSeq <= purse.appliedSeq);
}

/**
 * Empty tables are left: the object may be asked once more. All is gone before the first wait: a turn that comes between finds no
 * account, and nothing is acknowledged and then lost.
 */
export async function eraseStorage(storage: DurableObjectStorage): Promise<void> {
  await Promise.all([storage.deleteAll(), storage.deleteAlarm()]);
  prepareTables(storage.sql);
}
