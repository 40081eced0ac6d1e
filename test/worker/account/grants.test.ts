/** Money that was given and money that was paid: which is spent first, and what is left of either. */
import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, describe, test, vi } from "vitest";
import { COST, eventsOf, HOLD, openAccount, PRICE, receipt, word, type Account } from "./support.ts";

const DAY_MS = 24 * 60 * 60_000;

afterEach(() => vi.useRealTimers());

function give(account: Account, amountNanoUsd: number, expiresAtMs: number | null = null) {
  const creditId = `gift-${amountNanoUsd}-${expiresAtMs}`;
  return account.object.credit({ creditId, amountNanoUsd, note: "welcome", kind: "granted", expiresAtMs });
}

describe("a balance of granted and topped-up money", () => {
  test("shows both, and spends the granted part first", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    await give(account, COST + 1_000);
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: 10 * HOLD + COST + 1_000,
      grantedNanoUsd: COST + 1_000,
      toppedUpNanoUsd: 10 * HOLD,
    });
    for (let i = 0; i < 2; i++) await account.settle(receipt(await account.admit(), "stop"));
    await evictDurableObject(account.object);
    expect(await account.object.status()).toMatchObject({
      grantedNanoUsd: 0,
      toppedUpNanoUsd: 10 * HOLD - COST + 1_000,
    });
    const events = await eventsOf(account);
    expect(events.map((event) => event["grantedNanoUsd"])).toEqual([undefined, undefined, COST, 1_000]);
  });

  test("gets a refund back where the money came from", async ({ expect }) => {
    const account = await openAccount(HOLD);
    await give(account, COST / 2);
    const request = await account.admit({ stream: false });
    await account.settle(receipt(request, "stop"));
    await account.object.word(word(account.id, request, "node_lost"));
    expect(await account.object.status()).toMatchObject({
      grantedNanoUsd: COST / 2,
      toppedUpNanoUsd: HOLD,
    });
  });

  test("loses what was granted when its time is up, without anybody calling, and the log says so", async ({
    expect,
  }) => {
    const account = await openAccount(HOLD);
    const endsAtMs = Date.now() + DAY_MS;
    await give(account, 5 * HOLD, endsAtMs);
    vi.useFakeTimers({ toFake: ["Date"], now: endsAtMs });
    await runDurableObjectAlarm(account.object);
    expect((await eventsOf(account)).at(-1)).toMatchObject({
      kind: "credit",
      amountNanoUsd: -5 * HOLD,
      credit: "granted",
      note: "granted credit ended",
    });
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: HOLD, grants: [] });
  });

  test("lets a request that began in time spend what it holds of a grant that ends meanwhile", async ({
    expect,
  }) => {
    const account = await openAccount(0);
    const endsAtMs = Date.now() + DAY_MS;
    await give(account, 2 * HOLD, endsAtMs);
    const request = await account.admit();
    vi.useFakeTimers({ toFake: ["Date"], now: endsAtMs });
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: HOLD, heldNanoUsd: HOLD });
    await account.settle(receipt(request, "stop"));
    // What it did not use is gone with the rest.
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 0, grants: [] });
    expect(await account.object.admit(account.ask())).toMatchObject({ ok: false });
  });

  test("keeps no grant alive after its end by requests that begin later, however they overlap", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    const endsAtMs = Date.now() + DAY_MS;
    await give(account, HOLD, endsAtMs);
    const inTime = await account.admit();
    vi.useFakeTimers({ toFake: ["Date"], now: endsAtMs });
    let running = await account.admit();
    // What the first one still holds is not for the second to spend.
    for (let i = 0; i < 2; i++) {
      const next = await account.admit();
      await account.settle(receipt(running, "stop"));
      running = next;
    }
    expect(await account.object.status()).toMatchObject({
      grantedNanoUsd: HOLD,
      toppedUpNanoUsd: 10 * HOLD - 2 * COST,
    });
    await evictDurableObject(account.object);
    await account.settle(receipt(inTime, "stop"));
    const [closed, over] = (await eventsOf(account)).slice(-2);
    expect(closed).toMatchObject({ request: inTime, grantedNanoUsd: COST });
    expect(over).toMatchObject({ amountNanoUsd: COST - HOLD, note: "granted credit ended" });
    // One runs on: it holds nothing of what has ended.
    expect(await account.object.status()).toMatchObject({
      grantedNanoUsd: 0,
      balanceNanoUsd: 10 * HOLD - 2 * COST,
      holdsOpen: 1,
    });
  });

  test("is corrected in the part that is named, and never shows more granted than there is", async ({
    expect,
  }) => {
    const account = await openAccount(100);
    await give(account, 50);
    await give(account, -20);
    expect(await account.object.status()).toMatchObject({ grantedNanoUsd: 30, toppedUpNanoUsd: 100 });
    await account.object.credit({ creditId: "mistake", amountNanoUsd: -110, note: "" });
    expect(await account.object.status()).toMatchObject({ grantedNanoUsd: 20, toppedUpNanoUsd: 0 });
    await account.object.credit({ creditId: "more", amountNanoUsd: -30, note: "" });
    expect(await account.object.status()).toMatchObject({ grantedNanoUsd: 0, toppedUpNanoUsd: -10 });
  });
});

describe("an object of an older build", () => {
  test("wakes with its money, as topped up", async ({ expect }) => {
    const account = await openAccount(500);
    await account.inside((_, { storage }) => storage.sql.exec("ALTER TABLE account DROP COLUMN grants"));
    await evictDurableObject(account.object);
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 500, toppedUpNanoUsd: 500 });
    await give(account, 5);
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 505, grantedNanoUsd: 5 });
  });

  test("that let its sums grow beyond what integers say exactly wakes, and admits", async ({ expect }) => {
    const account = await openAccount(500);
    await account.settle(
      receipt(
        await account.admit({
          price: { ...PRICE, outputMicroUsdPerM: 1, inputMicroUsdPerM: 1, cachedMicroUsdPerM: 1 },
        }),
        "stop",
      ),
    );
    await account.inside((_, { storage }) =>
      storage.sql.exec(
        `UPDATE account SET balance_nano_usd = 10000000000000000, counters = replace(counters, '"totalNanoUsd":', '"totalNanoUsd":1000000000000000000')`,
      ),
    );
    await evictDurableObject(account.object);
    await account.settle(receipt(await account.admit(), "stop"));
    await evictDurableObject(account.object);
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: 10_000_000_000_000_000 - COST,
      used: { spentNanoUsd: Number.MAX_SAFE_INTEGER },
    });
  });

  test("gave credits of which only the ids are known: none is given again", async ({ expect }) => {
    const account = await openAccount(500);
    await account.inside((_, { storage }) => storage.sql.exec("DROP TABLE credit_terms"));
    await evictDurableObject(account.object);
    const first = { creditId: "first", amountNanoUsd: 7, note: "" };
    expect(await account.object.credit(first)).toEqual({ balanceNanoUsd: 500 });
  });
});
