/** The same call twice, under one `Idempotency-Key`: it runs once and is billed once, whatever becomes of it. */
import type { AdmitAsk } from "@sluice/protocol/account";
import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, describe, test, vi } from "vitest";
import { SWEEP_ROWS } from "../../../src/account/repeats.ts";
import { admittedCount, COST, HOLD, openAccount, receipt, SECRET, word, type Account } from "./support.ts";

const BALANCE = 100 * HOLD;
const HOUR_MS = 60 * 60_000;
const ONCE = { idempotency: { name: "n1", body: "b1" } };

afterEach(() => vi.useRealTimers());

async function again(account: Account, change: Partial<AdmitAsk> = ONCE): Promise<object> {
  const verdict = await account.object.admit(account.ask(change));
  return verdict.ok ? { kind: "admitted" } : verdict.refusal;
}

function rowsOf(account: Account): Promise<unknown> {
  return account.inside((_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM repeats").one()["n"]);
}

describe("a call that is repeated", () => {
  test("while it runs is refused, and names the one that runs", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit(ONCE);
    expect(await again(account)).toMatchObject({ kind: "idempotency_conflict", state: "running", request });
    expect(await account.object.status()).toMatchObject({ heldNanoUsd: HOLD, used: { requestsToday: 1 } });
  });

  test("fifty times at once runs once", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const { object } = account;
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => object.admit(account.ask(ONCE))));
    expect(admittedCount(verdicts)).toBe(1);
    expect(await account.object.status()).toMatchObject({ heldNanoUsd: HOLD, holdsOpen: 1 });
  });

  test("after it is over is never run or billed again, also after a crash, over a limit, or without money", async ({
    expect,
  }) => {
    const account = await openAccount(HOLD, { requestsPerDay: 1 });
    const request = await account.admit(ONCE);
    await account.settle(receipt(request, "stop"));
    await evictDurableObject(account.object);
    const over = { kind: "idempotency_conflict", state: "completed", request, pinned: false };
    for (let i = 0; i < 2; i++) expect(await again(account)).toMatchObject(over);
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: HOLD - COST, heldNanoUsd: 0 });
    await account.object.revokeKey(account.key);
    expect(await again(account)).toEqual({ kind: "key_revoked" });
  });

  test("is told so no more often a minute than requests may come, and its requests are left alone", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE, { requestsPerMinute: 3, requestsPerDay: 3 });
    await account.admit(ONCE);
    const kinds: unknown[] = [];
    for (let i = 0; i < 5; i++) kinds.push(await again(account));
    const repeated = { kind: "idempotency_conflict" };
    const limited = { kind: "rate_limited", limit: "requests_per_minute", scope: "key", max: 3 };
    expect(kinds).toMatchObject([repeated, repeated, repeated, limited, limited]);
    for (let i = 0; i < 2; i++) expect(await again(account, {})).toEqual({ kind: "admitted" });
    // What comes back in a minute comes back to either.
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 20_000 });
    expect(await again(account)).toMatchObject(repeated);
  });

  test("with another body is refused, whether it runs or is over", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit(ONCE);
    const other = { idempotency: { name: "n1", body: "b2" } };
    expect(await again(account, other)).toMatchObject({ state: "changed", request });
    await account.settle(receipt(request, "stop"));
    expect(await again(account, other)).toMatchObject({ state: "changed", request });
  });

  test("by another key of the account is another call", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    await account.object.putKey({ id: "key_other00000", name: "other", secretSha256: SECRET });
    await account.admit(ONCE);
    const key = { id: "key_other00000", secretSha256: SECRET };
    expect(await again(account, { ...ONCE, key })).toEqual({ kind: "admitted" });
  });

  test("after it came to nothing, and was billed nothing, runs", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit(ONCE);
    await account.object.word(word(account.id, request, "no_node"));
    const second = await account.admit(ONCE);
    // The first one's word once more: it does not free the key of the second.
    await account.object.word(word(account.id, request, "no_node"));
    expect(await again(account)).toMatchObject({ state: "running", request: second });
  });

  test("after it was refused runs: a refusal is not a call", async ({ expect }) => {
    const account = await openAccount(0);
    expect(await again(account)).toMatchObject({ kind: "insufficient_balance" });
    await account.object.credit({ creditId: "c", amountNanoUsd: HOLD, note: "" });
    expect(await again(account)).toEqual({ kind: "admitted" });
  });

  test("after its client left and was billed for a part is over", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit(ONCE);
    await account.object.word(word(account.id, request, "client_gone", { seenTo: 28, prompt: 50 }));
    await account.settle(receipt(request, "client_gone"));
    expect(await again(account)).toMatchObject({ state: "completed", request });
  });

  test("a day later runs, and what was remembered is cleared away", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const nowMs = Date.now();
    await account.settle(receipt(await account.admit(ONCE), "stop"));
    expect(await rowsOf(account)).toBe(1);
    vi.useFakeTimers({ toFake: ["Date"], now: nowMs + 26 * HOUR_MS });
    await runDurableObjectAlarm(account.object);
    expect(await rowsOf(account)).toBe(0);
    expect(await again(account)).toEqual({ kind: "admitted" });
  });

  test("of very many clears away so many in a turn, what is young stays, also after a crash", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    await account.settle(receipt(await account.admit(ONCE), "stop"));
    await account.inside((_, { storage }) => {
      for (let n = 0; n < SWEEP_ROWS + 1; n++)
        storage.sql.exec(
          "INSERT INTO repeats VALUES (?, 'r', 'b', 0)",
          `\u0001${String(n).padStart(6, "0")}`,
        );
    });
    await evictDurableObject(account.object);
    await runDurableObjectAlarm(account.object);
    expect(await rowsOf(account)).toBe(2);
    // Its own alarm, a moment later, may have come first.
    await runDurableObjectAlarm(account.object);
    expect(await rowsOf(account)).toBe(1);
    expect(await again(account)).toMatchObject({ state: "completed" });
  });

  test("costs a row, and a call without a key none", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const written = async (change: Partial<AdmitAsk>): Promise<number> => {
      const before = await account.inside((object) => object.rowsWritten);
      await account.object.admit(account.ask(change));
      return (await account.inside((object) => object.rowsWritten)) - before;
    };
    expect([await written({}), await written(ONCE), await written(ONCE)]).toEqual([1, 2, 0]);
  });
});
