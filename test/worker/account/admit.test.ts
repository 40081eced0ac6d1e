/** Admissions in real workerd: a budget is a wall, a key is a door, and a line forms in front of both. */
import { evictDurableObject } from "cloudflare:test";
import { describe, test } from "vitest";
import { admittedCount, COST, HOLD, openAccount, receipt, SECRET, unknownAccount, word } from "./support.ts";

describe("a budget is a wall", () => {
  test("of fifty requests at once on a balance for ten, ten start", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => account.object.admit(account.ask())));
    expect(admittedCount(verdicts)).toBe(10);
    for (const verdict of verdicts.filter((verdict) => !verdict.ok))
      expect(verdict).toEqual({
        ok: false,
        refusal: {
          kind: "insufficient_balance",
          neededNanoUsd: HOLD,
          freeNanoUsd: 0,
          heldByOthers: true,
          cached: { salt: expect.any(String), pinned: false },
        },
      });
    expect(await account.object.status()).toMatchObject({ heldNanoUsd: 10 * HOLD, holdsOpen: 10 });
  });

  test("a request that waits for money starts when another's hold closes", async ({ expect }) => {
    const account = await openAccount(HOLD + COST);
    const running = await account.admit();
    const waiting = account.object.admit(account.ask());
    await account.settle(receipt(running, "stop"));
    expect(await waiting).toMatchObject({ ok: true, heldNanoUsd: HOLD });
  });

  test("who waited first starts first, and what is left suffices for no second one", async ({ expect }) => {
    const account = await openAccount(HOLD + COST);
    const running = await account.admit();
    const order: string[] = [];
    const first = account.object.admit(account.ask()).then((verdict) => order.push(`first ${verdict.ok}`));
    const second = account.object.admit(account.ask()).then((verdict) => order.push(`second ${verdict.ok}`));
    await account.settle(receipt(running, "stop"));
    await Promise.all([first, second]);
    expect(order).toEqual(["first true", "second false"]);
  });

  test("more money lets whoever waits for it start, and a refusal that money cannot cure comes at once", async ({
    expect,
  }) => {
    const account = await openAccount(HOLD);
    await account.admit();
    const waiting = account.object.admit(account.ask());
    await account.object.credit({ creditId: "more", amountNanoUsd: HOLD, note: "" });
    expect(await waiting).toMatchObject({ ok: true });
    const poor = await openAccount(HOLD - 1);
    expect(await poor.object.admit(poor.ask())).toMatchObject({
      refusal: { kind: "insufficient_balance", heldByOthers: false },
    });
  });

  test("the same request id is admitted once", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const request = await account.admit();
    expect(await account.object.admit(account.ask({ request }))).toEqual({
      ok: false,
      refusal: { kind: "duplicate_request" },
    });
    expect(await account.object.status()).toMatchObject({ heldNanoUsd: HOLD });
  });

  test("an admission says what it allows", async ({ expect }) => {
    const account = await openAccount(10 * HOLD, { requestsPerMinute: 60 });
    await account.object.configure({ account: account.id, regions: ["eu-1"] });
    const verdict = await account.object.admit(account.ask({ outputAsked: null, outputDefault: 300 }));
    expect(verdict).toMatchObject({
      ok: true,
      promptCeiling: 100,
      outputCeiling: 300,
      heldNanoUsd: 400_000,
      regions: ["eu-1"],
      requestsPerMinute: { max: 60, remaining: 59 },
    });
    if (verdict.ok) {
      expect(verdict.issueByMs).toBeGreaterThan(Date.now());
      expect(verdict.cacheSalt).toMatch(/^[0-9a-f]{32}\.[0-9a-f]{8}/);
    }
  });
});

describe("a key", () => {
  test("that is revoked starts nothing from the next call on, and is never un-revoked", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    await account.admit();
    expect(await account.object.revokeKey(account.key)).toBe(true);
    const refusal = { ok: false, refusal: { kind: "key_revoked" } };
    expect(await account.object.admit(account.ask())).toEqual(refusal);
    await account.object.putKey({ id: account.key, name: "again", secretSha256: SECRET });
    expect(await account.object.admit(account.ask())).toEqual(refusal);
    expect(await account.object.revokeKey("key_zzzzzzzzzz")).toBe(false);
  });

  test("that is revoked while a request of its waits starts nothing either", async ({ expect }) => {
    const account = await openAccount(HOLD + COST);
    const running = await account.admit();
    const waiting = account.object.admit(account.ask());
    await account.object.revokeKey(account.key);
    await account.settle(receipt(running, "stop"));
    expect(await waiting).toEqual({ ok: false, refusal: { kind: "key_revoked" } });
  });

  test("with another secret, of no account, or that nobody made gets one and the same answer", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    const unknown = { ok: false, refusal: { kind: "unknown_key" } };
    const other = { id: account.key, secretSha256: "cd".repeat(32) };
    expect(await account.object.admit(account.ask({ key: other }))).toEqual(unknown);
    const nobody = { id: "key_zzzzzzzzzz", secretSha256: SECRET };
    expect(await account.object.admit(account.ask({ key: nobody }))).toEqual(unknown);
    const never = unknownAccount();
    expect(await never.object.admit(never.ask())).toEqual(unknown);
    expect(await never.object.status()).toBeNull();
  });
});

describe("limits", () => {
  test("requests per minute are counted per key, and a refusal counts for nothing", async ({ expect }) => {
    const account = await openAccount(10 * HOLD, { requestsPerMinute: 2 });
    await account.admit();
    const wrong = { id: account.key, secretSha256: "cd".repeat(32) };
    await account.object.admit(account.ask({ key: wrong }));
    await account.admit();
    expect(await account.object.admit(account.ask())).toMatchObject({
      refusal: { kind: "rate_limited", limit: "requests_per_minute", scope: "key", max: 2 },
    });
  });

  test("a request over a limit on concurrency waits for a place, and the last word frees one", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD, { concurrency: 1 });
    const running = await account.admit();
    const waiting = account.object.admit(account.ask());
    await account.object.word(word(account.id, running, "client_gone", { seenTo: 3, prompt: 50 }));
    expect(await waiting).toMatchObject({ ok: true });
    // The place is free; the money waits for the receipt.
    expect(await account.object.status()).toMatchObject({
      heldNanoUsd: 2 * HOLD,
      holdsOpen: 1,
      holdsPending: 1,
    });
  });

  test("a place that does not come free in time is refused, with the limit that is in the way", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD, { accountConcurrency: 1 });
    await account.admit();
    expect(await account.object.admit(account.ask())).toEqual({
      ok: false,
      refusal: { kind: "concurrency_limited", scope: "account", max: 1 },
    });
  });
});

describe("a crash", () => {
  test("loses no hold, no place and no money", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const [first, second] = await Promise.all([account.admit(), account.admit()]);
    await account.settle(receipt(first, "stop"));
    const before = await account.object.status();
    await evictDurableObject(account.object);
    expect(await account.object.status()).toEqual(before);
    await account.settle(receipt(second, "stop"));
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: 10 * HOLD - 2 * COST,
      heldNanoUsd: 0,
    });
  });

  test("right after an answer finds the answer's hold on disk", async ({ expect }) => {
    const account = await openAccount(20 * HOLD);
    const { object } = account;
    const verdicts = await Promise.all(Array.from({ length: 10 }, () => object.admit(account.ask())));
    // As kill -9 does it: no turn is finished, nothing is written any more.
    await account.inside((_, state) => state.abort("killed by a test")).catch(() => undefined);
    expect(await account.object.status()).toMatchObject({
      holdsOpen: admittedCount(verdicts),
      heldNanoUsd: 10 * HOLD,
    });
  });
});
