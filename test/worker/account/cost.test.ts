/** What a request costs in rows written: the price of an object is its rows, so each path has a number that holds. */
import { describe, test } from "vitest";
import { call, eventsOf, HOLD, openAccount, receipt, word, type Account } from "./support.ts";

const BALANCE = 1_000 * HOLD;

/** Rows the account's object writes while `work` runs, its alarm aside. */
async function rowsOf(account: Account, work: () => Promise<unknown>): Promise<number> {
  const before = await account.inside((object) => object.rowsWritten);
  await work();
  return (await account.inside((object) => object.rowsWritten)) - before;
}

describe("rows written", () => {
  test("an admission is one row, a refusal none", async ({ expect }) => {
    const account = await openAccount(HOLD);
    expect(await rowsOf(account, () => account.admit())).toBe(1);
    const wrong = { id: account.key, secretSha256: "0".repeat(64) };
    expect(await rowsOf(account, () => account.object.admit(account.ask({ key: wrong })))).toBe(0);
  });

  test("a receipt that closes is three: the hold goes, its event comes, the balance moves", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    expect(await rowsOf(account, () => account.settle(receipt(request, "stop")))).toBe(3);
    expect(await rowsOf(account, () => account.settle(receipt(request, "stop")))).toBe(0);
  });

  test("receipts that come together share the balance's row", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const requests = await Promise.all(Array.from({ length: 20 }, () => account.admit()));
    const receipts = requests.map((request) => receipt(request, "stop"));
    expect(await rowsOf(account, () => account.settle(...receipts))).toBe(2 * 20 + 1);
  });

  test("a word, an extension and a renewal are one row each", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const [told, longer, running] = await Promise.all([account.admit(), account.admit(), account.admit()]);
    const lost = word(account.id, told, "node_lost", { next: call(1) });
    expect(await rowsOf(account, () => account.object.word(lost))).toBe(1);
    expect(await rowsOf(account, () => account.object.word(lost))).toBe(0);
    const extend = { v: 1, account: account.id, request: longer, ...call(1), promptCeiling: 150 };
    expect(await rowsOf(account, () => account.object.extend(extend))).toBe(1);
    const renew = [{ request: running, ordinal: 0, position: 1, node: "node_0000000000", region: "eu-1" }];
    const renewed = account.object.settle;
    expect(await rowsOf(account, () => renewed({ v: 1, account: account.id, receipts: [], renew }))).toBe(1);
  });

  test("an event that D1 has and nobody needs is written over by a new one: its going costs no row", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    await account.settle(receipt(await account.admit(), "stop"));
    expect(await rowsOf(account, () => account.object.applied(2))).toBe(0);
    expect(await account.object.status()).toMatchObject({ eventsUnprojected: 0 });
    // As if it had lain there for long enough.
    await account.inside((_, state) => void state.storage.sql.exec("UPDATE events SET at_ms = 0"));
    const request = await account.admit();
    expect(await rowsOf(account, () => account.settle(receipt(request, "stop")))).toBe(3);
    expect((await eventsOf(account)).map(({ seq }) => seq)).toEqual([2, 3]);
  });

  test("an event that D1 has not confirmed is never written over", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    await account.settle(receipt(await account.admit(), "stop"));
    await account.inside((_, state) => void state.storage.sql.exec("UPDATE events SET at_ms = 0"));
    await account.settle(receipt(await account.admit(), "stop"));
    expect((await eventsOf(account)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });
});
