/** What a request costs in rows written: the price of an object is its rows, so each path has a number that holds. */
import { describe, test } from "vitest";
import { TAIL_EVENTS_MAX } from "../../../src/account/event-log.ts";
import { call, HOLD, openAccount, receipt, word, type Account } from "./support.ts";

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

  test("a receipt that closes is one: the account's row, with the balance, the free slot and the event", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    expect(await rowsOf(account, () => account.settle(receipt(request, "stop")))).toBe(1);
    expect(await rowsOf(account, () => account.settle(receipt(request, "stop")))).toBe(0);
  });

  test("receipts that come together are two: the account's row, and one for all their events", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const requests = await Promise.all(Array.from({ length: 20 }, () => account.admit()));
    const receipts = requests.map((request) => receipt(request, "stop"));
    expect(await rowsOf(account, () => account.settle(...receipts))).toBe(2);
  });

  test("an answer is two, and a row more for the events of every sixteen that come one by one", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const answers = 4 * (TAIL_EVENTS_MAX + 1);
    const rows = await rowsOf(account, async () => {
      for (let nr = 0; nr < answers; nr++) await account.settle(receipt(await account.admit(), "stop"));
    });
    expect(rows).toBe(2 * answers + 4);
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

  test("events that D1 has and nobody needs are written over by new ones: their going costs no row", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    await answerInOneTurn(account, IN_A_ROW);
    expect(await rowsOf(account, () => account.object.applied(IN_A_ROW + 1))).toBe(0);
    expect(await account.object.status()).toMatchObject({ eventsUnprojected: 0 });
    // As if they had lain there for long enough.
    await account.inside((_, state) => void state.storage.sql.exec("UPDATE log SET at_ms = 0"));
    expect(await answerInOneTurn(account, IN_A_ROW)).toBe(2);
    expect(await logOf(account)).toEqual([{ seq: 2 * IN_A_ROW + 1 }]);
  });

  test("events that D1 has not confirmed are never written over", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    await answerInOneTurn(account, IN_A_ROW);
    await account.inside((_, state) => void state.storage.sql.exec("UPDATE log SET at_ms = 0"));
    await answerInOneTurn(account, IN_A_ROW);
    expect(await logOf(account)).toEqual([{ seq: IN_A_ROW + 1 }, { seq: 2 * IN_A_ROW + 1 }]);
  });
});

/** More than the tail takes. */
const IN_A_ROW = TAIL_EVENTS_MAX + 1;

/** Rows that their settlement writes. */
async function answerInOneTurn(account: Account, count: number): Promise<number> {
  const requests = await Promise.all(Array.from({ length: count }, () => account.admit()));
  return rowsOf(account, () => account.settle(...requests.map((request) => receipt(request, "stop"))));
}

async function logOf(account: Account): Promise<unknown> {
  return account.inside((_, { storage }) => storage.sql.exec("SELECT seq FROM log ORDER BY seq").toArray());
}
