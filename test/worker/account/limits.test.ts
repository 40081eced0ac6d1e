/** What account and keys may use, in real workerd: walls under concurrency, kept over restarts, at no rows of their own. */
import { evictDurableObject } from "cloudflare:test";
import { afterEach, describe, test, vi } from "vitest";
import type { AdmitVerdict } from "@sluice/protocol/account";
import { TAIL_EVENTS_MAX } from "../../../src/account/event-log.ts";
import { KEYS_IN_ROW_MAX } from "../../../src/account/scopes.ts";
import {
  admittedCount,
  call,
  COST,
  HOLD,
  openAccount,
  receipt,
  SECRET,
  word,
  type Account,
} from "./support.ts";

const BALANCE = 1_000 * HOLD;
const TOKENS = 200;
const DAY_MS = 24 * 60 * 60_000;
const NOON = Date.UTC(2027, 0, 31, 12);

afterEach(() => vi.useRealTimers());

function at(nowMs: number): void {
  vi.useFakeTimers({ toFake: ["Date"], now: nowMs });
}

function fifty(account: Account): Promise<readonly AdmitVerdict[]> {
  return Promise.all(Array.from({ length: 50 }, () => account.object.admit(account.ask())));
}

async function pay(account: Account, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await account.settle(receipt(await account.admit(), "stop"));
}

function refusalOf(verdict: AdmitVerdict): object {
  return verdict.ok ? { kind: "admitted" } : verdict.refusal;
}

async function tryOne(account: Account): Promise<object> {
  return refusalOf(await account.object.admit(account.ask()));
}

describe("a key's budget", () => {
  test("for ten requests lets ten of fifty start at once, however full the account is", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE, { budgetDayNanoUsd: 10 * HOLD });
    const verdicts = await fifty(account);
    expect(admittedCount(verdicts)).toBe(10);
    expect(verdicts.filter(({ ok }) => !ok).map(refusalOf)).toEqual(
      Array.from({ length: 40 }, () =>
        expect.objectContaining({
          kind: "budget_exceeded",
          scope: "key",
          period: "day",
          heldNanoUsd: 10 * HOLD,
          neededNanoUsd: HOLD,
          heldByOthers: true,
        }),
      ),
    );
  });

  test("that running requests hold is worth waiting for, and a spent one is not", async ({ expect }) => {
    const account = await openAccount(BALANCE, { budgetTotalNanoUsd: HOLD + COST });
    const running = await account.admit();
    const waiting = account.object.admit(account.ask());
    await account.settle(receipt(running, "stop"));
    const verdict = await waiting;
    expect(verdict).toMatchObject({ ok: true });
    expect(await account.object.keyStatus(account.key)).toMatchObject({
      used: { spentNanoUsd: COST, heldNanoUsd: HOLD, open: 1 },
    });
    await account.object.changeKey(account.key, { budgetTotalNanoUsd: COST });
    expect(await tryOne(account)).toMatchObject({ kind: "budget_exceeded", heldByOthers: false });
  });

  test("waited for by one key is in no other key's way", async ({ expect }) => {
    const account = await openAccount(BALANCE, { budgetDayNanoUsd: HOLD });
    await account.object.putKey({ id: "key_other00000", name: "other", secretSha256: SECRET });
    await account.admit();
    const waiting = account.object.admit(account.ask());
    const other = await account.object.admit(
      account.ask({ key: { id: "key_other00000", secretSha256: SECRET } }),
    );
    expect(other).toMatchObject({ ok: true });
    expect(refusalOf(await waiting)).toMatchObject({ kind: "budget_exceeded" });
  });

  test("begins anew at midnight UTC, and its month with the first of the next", async ({ expect }) => {
    at(NOON);
    const account = await openAccount(BALANCE, {
      budgetDayNanoUsd: HOLD + COST - 1,
      budgetMonthNanoUsd: HOLD + 2 * COST - 1,
    });
    await pay(account, 1);
    expect(await tryOne(account)).toMatchObject({ period: "day", resetAtMs: Date.UTC(2027, 1, 1) });
    at(Date.UTC(2027, 1, 1));
    await pay(account, 1);
    at(Date.UTC(2027, 1, 2));
    await pay(account, 1);
    at(Date.UTC(2027, 1, 3));
    expect(await tryOne(account)).toMatchObject({ period: "month", resetAtMs: Date.UTC(2027, 2, 1) });
    at(Date.UTC(2027, 2, 1));
    expect(await tryOne(account)).toEqual({ kind: "admitted" });
  });

  test("is there again after a refund, and stops an extension that it does not cover", async ({ expect }) => {
    const account = await openAccount(BALANCE, { budgetTotalNanoUsd: HOLD });
    const request = await account.admit({ stream: false });
    const more = { v: 1, account: account.id, request, ...call(1), promptCeiling: 101 };
    expect(await account.object.extend(more)).toMatchObject({
      ok: false,
      refusal: { kind: "budget_exceeded", period: "total", neededNanoUsd: 1_000 },
    });
    await account.settle(receipt(request, "stop"));
    expect(await tryOne(account)).toMatchObject({ kind: "budget_exceeded", heldByOthers: false });
    await account.object.word(word(account.id, request, "node_lost"));
    expect(await tryOne(account)).toEqual({ kind: "admitted" });
  });

  test("and what is used of every other limit survive a restart, with what runs meanwhile", async ({
    expect,
  }) => {
    at(NOON);
    const limits = {
      budgetDayNanoUsd: 3 * HOLD,
      requestsPerDay: 4,
      requestsPerMinute: 4,
      tokensPerMinute: 4 * TOKENS,
    };
    const account = await openAccount(BALANCE, limits);
    await pay(account, 1);
    const running = [await account.admit(), await account.admit()];
    const before = await account.object.keyStatus(account.key);
    expect(before?.used).toEqual({
      requestsToday: 3,
      spentTodayNanoUsd: COST,
      spentThisMonthNanoUsd: COST,
      spentNanoUsd: COST,
      heldNanoUsd: 2 * HOLD,
      open: 2,
    });
    const left = async (): Promise<AdmitVerdict> =>
      account.object.admit(account.ask({ promptCeiling: 1, outputAsked: 1 }));
    await evictDurableObject(account.object);
    expect(await account.object.keyStatus(account.key)).toEqual(before);
    // 80 tokens used and 400 reserved: 320 were left, 2 are taken now.
    expect(await left()).toMatchObject({
      requestsPerMinute: { remaining: 0 },
      requestsPerDay: { remaining: 0 },
      tokensPerMinute: { remaining: 318 },
    });
    for (const request of running) await account.settle(receipt(request, "stop"));
    await evictDurableObject(account.object);
    expect((await account.object.keyStatus(account.key))?.used).toMatchObject({
      requestsToday: 4,
      spentTodayNanoUsd: 3 * COST,
    });
  });
});

describe("a limit", () => {
  test("on tokens per minute remembers over a restart what a request was extended by", async ({ expect }) => {
    at(NOON);
    const account = await openAccount(BALANCE, { tokensPerMinute: 1_000 });
    const [running, over] = [await account.admit(), await account.admit()];
    await account.settle(receipt(over, "stop"));
    const extend = { v: 1, account: account.id, request: running, ...call(1), promptCeiling: 500 };
    expect(await account.object.extend(extend)).toMatchObject({ ok: true });
    await evictDurableObject(account.object);
    // Two hundred, four hundred more, and eighty that were used.
    expect(await account.object.admit(account.ask({ promptCeiling: 100, outputAsked: 100 }))).toMatchObject({
      ok: true,
      tokensPerMinute: { remaining: 120 },
    });
  });

  test("on tokens per minute counts what may be used, then what was", async ({ expect }) => {
    const account = await openAccount(BALANCE, { tokensPerMinute: 2 * TOKENS });
    const first = await account.admit();
    await account.admit();
    await account.settle(receipt(first, "stop"));
    // 120 of its 200 came back.
    expect(await account.object.admit(account.ask({ promptCeiling: 100, outputAsked: 20 }))).toMatchObject({
      ok: true,
      tokensPerMinute: { max: 2 * TOKENS, remaining: 0 },
    });
    expect(await tryOne(account)).toMatchObject({
      kind: "rate_limited",
      limit: "tokens_per_minute",
      needed: TOKENS,
    });
    expect(await account.object.admit(account.ask({ promptCeiling: 1_000 }))).toMatchObject({
      refusal: { needed: 1_100, max: 2 * TOKENS },
    });
  });

  test("on requests per day is refused until midnight, and refusals count for nothing", async ({
    expect,
  }) => {
    at(NOON);
    const account = await openAccount(BALANCE, { requestsPerDay: 2 });
    await pay(account, 2);
    for (let i = 0; i < 3; i++)
      expect(await tryOne(account)).toMatchObject({ limit: "requests_per_day", retryAfterMs: DAY_MS / 2 });
    at(NOON + DAY_MS / 2);
    await pay(account, 2);
    expect(await tryOne(account)).toMatchObject({ limit: "requests_per_day", retryAfterMs: DAY_MS });
  });

  test("of the account holds for all its keys together, and is named before the key's", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE, { requestsPerDay: 2 });
    await account.object.configure({ account: account.id, requestsPerDay: 1 });
    await account.admit();
    expect(await tryOne(account)).toMatchObject({ kind: "rate_limited", scope: "account", max: 1 });
    await account.object.configure({ account: account.id, requestsPerDay: null });
    expect(await tryOne(account)).toEqual({ kind: "admitted" });
    expect(await tryOne(account)).toMatchObject({ kind: "rate_limited", scope: "key", max: 2 });
  });

  test("of a key that changes holds from the next call on, for what was used before too", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    await pay(account, 2);
    expect(await account.object.changeKey(account.key, { budgetTotalNanoUsd: 2 * COST + HOLD - 1 })).toBe(
      true,
    );
    expect(await tryOne(account)).toMatchObject({ kind: "budget_exceeded", spentNanoUsd: 2 * COST });
    expect(await account.object.changeKey("key_zzzzzzzzzz", { name: "x" })).toBe(false);
  });
});

describe("a key", () => {
  test("of a pinned account runs where both allow it, and nowhere else", async ({ expect }) => {
    const account = await openAccount(BALANCE, { regions: ["eu-1", "eu-2"] });
    expect(await account.object.admit(account.ask())).toMatchObject({ regions: ["eu-1", "eu-2"] });
    await account.object.configure({ account: account.id, regions: ["eu-2", "us-1"] });
    expect(await account.object.admit(account.ask())).toMatchObject({ regions: ["eu-2"] });
    await account.object.configure({ account: account.id, regions: ["us-1"] });
    expect(await tryOne(account)).toEqual({ kind: "data_residency_mismatch" });
  });

  test("opens with its new secret at once, and with the old one until the moment that was said", async ({
    expect,
  }) => {
    at(NOON);
    const account = await openAccount(BALANCE);
    const next = { secretSha256: "cd".repeat(32), lastFour: "wxyz", oldUntilMs: NOON + 1_000 };
    const withSecret = async (secretSha256: string): Promise<object> =>
      refusalOf(await account.object.admit(account.ask({ key: { id: account.key, secretSha256 } })));
    expect(await account.object.rotateKey(account.key, next)).toBe(true);
    for (const secret of [SECRET, next.secretSha256])
      expect(await withSecret(secret)).toEqual({ kind: "admitted" });
    expect(await account.object.keyStatus(account.key)).toMatchObject({
      lastFour: "wxyz",
      oldSecretUntilMs: NOON + 1_000,
    });
    at(NOON + 1_000);
    expect(await withSecret(SECRET)).toEqual({ kind: "key_expired", expiredAtMs: NOON + 1_000 });
    expect(await withSecret(next.secretSha256)).toEqual({ kind: "admitted" });
    // A leak: from now on the old one opens nothing.
    await account.object.rotateKey(account.key, { ...next, secretSha256: "ef".repeat(32), oldUntilMs: NOON });
    expect(await withSecret(next.secretSha256)).toEqual({ kind: "unknown_key" });
  });
});

describe("what is used", () => {
  test("costs no row of its own, and one per key where more keys are busy than travel in one row", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const keys = Array.from({ length: KEYS_IN_ROW_MAX + 3 }, (_, i) => `key_${String(i).padStart(10, "0")}`);
    for (const id of keys)
      await account.object.putKey({ id, name: id, secretSha256: SECRET, budgetDayNanoUsd: HOLD });
    const rows = async (id: string): Promise<number> => {
      const before = await account.inside((object) => object.rowsWritten);
      await account.settle(receipt(await account.admit({ key: { id, secretSha256: SECRET } }), "stop"));
      return (await account.inside((object) => object.rowsWritten)) - before;
    };
    const written: number[] = [];
    for (const id of keys) written.push(await rows(id));
    // Two each, and at the sixteenth a row for the events of all.
    const expected = keys.map(
      (_, i) => (i < KEYS_IN_ROW_MAX ? 2 : 3) + ((i + 2) % (TAIL_EVENTS_MAX + 1) === 0 ? 1 : 0),
    );
    expect(written).toEqual(expected);
    await evictDurableObject(account.object);
    for (const id of keys) {
      const ask = account.ask({ key: { id, secretSha256: SECRET } });
      expect(refusalOf(await account.object.admit(ask))).toMatchObject({
        kind: "budget_exceeded",
        spentNanoUsd: COST,
      });
    }
  });
});

describe("an object of an older build", () => {
  test("wakes with the limits it had", async ({ expect }) => {
    const account = await openAccount(BALANCE, { concurrency: 3 });
    await account.inside((_, { storage: { sql } }) => {
      for (const table of ["account", "keys"]) {
        for (const column of ["requests_per_minute", "concurrency"])
          sql.exec(`ALTER TABLE ${table} ADD COLUMN ${column} INTEGER`);
        sql.exec(`UPDATE ${table} SET requests_per_minute = 7, concurrency = 2`);
        sql.exec(`ALTER TABLE ${table} DROP COLUMN limits`);
      }
    });
    await evictDurableObject(account.object);
    const limits = { requestsPerMinute: 7, concurrency: 2, tokensPerMinute: null };
    expect(await account.object.status()).toMatchObject(limits);
    expect(await account.object.keyStatus(account.key)).toMatchObject(limits);
    await account.admit();
  });
});
