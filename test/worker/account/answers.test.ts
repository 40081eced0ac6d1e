/** Cached answers in the books: counted, priced, in the log; never for a revoked key, and gone with their salt. */
import { saltId, type AdmitAsk, type AdmitVerdict } from "@sluice/protocol/account";
import { describe, test } from "vitest";
import { billsOf, eventsOf, HOLD, openAccount, PRICE, word, type Account } from "./support.ts";

const COUNTS = { promptTokens: 50, cachedTokens: 8, completionTokens: 30, reasoningTokens: 10 };
/** A cent per million tokens either way: fifty and thirty tokens are 800 nano-dollars. */
const PRICED = { ...PRICE, hitInputMicroUsdPerM: 10_000, hitOutputMicroUsdPerM: 10_000 };
const HIT_COST = 800;

type Admitted = Extract<AdmitVerdict, { ok: true }>;

async function admitted(account: Account, change: Partial<AdmitAsk> = {}): Promise<Admitted> {
  const verdict = await account.object.admit(account.ask(change));
  if (!verdict.ok) throw new Error(`refused: ${verdict.refusal.kind}`);
  return verdict;
}

/** Asks with an answer at hand that was sealed under the account's salt of now. */
async function withHit(
  account: Account,
  salt: string,
  change: Partial<AdmitAsk> = {},
): Promise<AdmitVerdict> {
  return account.object.admit(
    account.ask({ hit: { saltId: saltId(salt), asked: false, ...COUNTS }, ...change }),
  );
}

describe("an answer at hand", () => {
  test("is counted, holds nothing, costs nothing, and has a row", async ({ expect }) => {
    const account = await openAccount(HOLD, { requestsPerMinute: 10 });
    const { cacheSalt } = await admitted(account);
    const before = await account.inside((object) => object.rowsWritten);
    const verdict = await withHit(account, cacheSalt);
    expect(verdict).toMatchObject({
      ok: true,
      hit: true,
      heldNanoUsd: 0,
      requestsPerMinute: { remaining: 8 },
    });
    // The account's row, with the event.
    expect((await account.inside((object) => object.rowsWritten)) - before).toBe(1);
    expect((await eventsOf(account)).at(-1)).toMatchObject({
      kind: "usage",
      ended: "recalled",
      certainty: "exact",
      ...COUNTS,
      costNanoUsd: 0,
      attempts: [],
    });
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: HOLD, holdsOpen: 1 });
  });

  test("that is free, and a call that is, pass whoever waits for money; one with a price does not", async ({
    expect,
  }) => {
    const account = await openAccount(HOLD + HIT_COST);
    const { cacheSalt } = await admitted(account);
    const free = { ...PRICE, inputMicroUsdPerM: 0, cachedMicroUsdPerM: 0, outputMicroUsdPerM: 0 };
    const order: string[] = [];
    const asked = (name: string, verdict: Promise<AdmitVerdict>) =>
      verdict.then(({ ok }) => order.push(`${name} ${ok}`));
    await Promise.all([
      asked("large", account.object.admit(account.ask())),
      asked("priced", withHit(account, cacheSalt, { price: PRICED })),
      asked("cached", withHit(account, cacheSalt)),
      asked("free", account.object.admit(account.ask({ price: free }))),
    ]);
    expect(order).toEqual(["cached true", "free true", "large false", "priced true"]);
  });

  test("is there on an empty balance when it is free, and not when it has a price", async ({ expect }) => {
    const account = await openAccount(HOLD);
    const { cacheSalt } = await admitted(account);
    expect(await withHit(account, cacheSalt)).toMatchObject({ ok: true, hit: true });
    expect(await withHit(account, cacheSalt, { price: PRICED })).toMatchObject({
      ok: false,
      refusal: { kind: "insufficient_balance" },
    });
  });

  test("that has a price is paid in the admission's own commit", async ({ expect }) => {
    const account = await openAccount(3 * HOLD);
    const { cacheSalt } = await admitted(account);
    expect(await withHit(account, cacheSalt, { price: PRICED })).toMatchObject({ ok: true, hit: true });
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 3 * HOLD - HIT_COST });
    expect((await billsOf(account)).at(-1)).toMatchObject({ ended: "recalled", charged: HIT_COST });
  });

  test("needs no place among the concurrent", async ({ expect }) => {
    const account = await openAccount(9 * HOLD, { concurrency: 1 });
    const { cacheSalt } = await admitted(account);
    expect(await withHit(account, cacheSalt)).toMatchObject({ ok: true, hit: true });
  });

  test("is not for a revoked key, nor for one over its rate", async ({ expect }) => {
    const account = await openAccount(9 * HOLD, { requestsPerMinute: 2 });
    const { cacheSalt } = await admitted(account);
    expect(await withHit(account, cacheSalt)).toMatchObject({ hit: true });
    expect(await withHit(account, cacheSalt)).toMatchObject({ refusal: { kind: "rate_limited" } });
    await account.object.revokeKey(account.key);
    expect(await withHit(account, cacheSalt)).toMatchObject({ refusal: { kind: "key_revoked" } });
  });
});

describe("what an account or a key says", () => {
  test("goes out with the verdict, the key's word over the account's", async ({ expect }) => {
    const account = await openAccount(9 * HOLD);
    expect((await admitted(account)).cache).toEqual({});
    await account.object.configure({ account: account.id, cache: { mode: "off", ttlS: 600 } });
    expect((await admitted(account)).cache).toEqual({ mode: "off", ttlS: 600 });
    const key = { id: account.key, name: "test", secretSha256: "ab".repeat(32) };
    await account.object.putKey({ ...key, cache: { mode: "read" } });
    expect((await admitted(account)).cache).toEqual({ mode: "read", ttlS: 600 });
    await account.object.putKey({ ...key, cache: null });
    expect((await admitted(account)).cache).toEqual({ mode: "off", ttlS: 600 });
  });

  test("goes for the keys that a key made too, until these say something themselves", async ({ expect }) => {
    const account = await openAccount(9 * HOLD, { scopes: ["inference", "keys"], cache: { mode: "off" } });
    await account.object.configure({ account: account.id, cache: { mode: "read", ttlS: 600 } });
    const secretSha256 = "cd".repeat(32);
    const made = { id: "key_made000000", name: "made", secretSha256 };
    const maker = { id: account.key, secretSha256: "ab".repeat(32) };
    await account.object.doAsKey({ key: maker, deed: { do: "make", key: made } });
    const key = { id: made.id, secretSha256 };
    expect((await admitted(account, { key })).cache).toEqual({ mode: "off", ttlS: 600 });
    await account.object.changeKey(made.id, { cache: { mode: "write" } });
    expect((await admitted(account, { key })).cache).toEqual({ mode: "write", ttlS: 600 });
  });

  test("keeps an answer at hand from being used, unless the request itself asks", async ({ expect }) => {
    const account = await openAccount(9 * HOLD);
    const { cacheSalt } = await admitted(account);
    await account.object.configure({ account: account.id, cache: { mode: "off" } });
    const refused = await withHit(account, cacheSalt);
    expect(refused).toMatchObject({ ok: true, heldNanoUsd: HOLD });
    expect(refused).not.toHaveProperty("hit");
    const hit = { saltId: saltId(cacheSalt), asked: true, ...COUNTS };
    expect(await withHit(account, cacheSalt, { hit })).toMatchObject({ hit: true });
  });
});

describe("forgetting", () => {
  test("all answers is a new salt: those at hand are no hits any more", async ({ expect }) => {
    const account = await openAccount(9 * HOLD);
    const { cacheSalt } = await admitted(account);
    await account.object.forgetAnswers(null);
    expect((await admitted(account)).cacheSalt).not.toBe(cacheSalt);
    expect(await withHit(account, cacheSalt)).not.toHaveProperty("hit");
  });

  test("one model's leaves the others' alone, also after the object woke anew", async ({ expect }) => {
    const account = await openAccount(9 * HOLD);
    const [tiny, large] = [await admitted(account), await admitted(account, { model: "large" })];
    await account.object.forgetAnswers("tiny");
    const after = (await admitted(account)).cacheSalt;
    expect(after).not.toBe(tiny.cacheSalt);
    expect(saltId(after)).not.toBe(saltId(tiny.cacheSalt));
    expect((await admitted(account, { model: "large" })).cacheSalt).toBe(large.cacheSalt);
    await account.object.forgetAnswers("tiny");
    expect((await admitted(account)).cacheSalt).not.toBe(after);
  });
});

describe("the word `recalled`", () => {
  test("cancels the hold, with a row that says what the answer was", async ({ expect }) => {
    const account = await openAccount(HOLD);
    const request = await account.admit();
    const counts = { seenTo: 30, prompt: 50, cached: 8, reasoning: 10, node: null, region: null };
    const said = word(account.id, request, "recalled", counts);
    expect(await account.object.word(said)).toEqual({ state: "closed" });
    expect(await account.object.word(said)).toEqual({ state: "closed" });
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: HOLD,
      heldNanoUsd: 0,
      holdsOpen: 0,
    });
    const usage = (await eventsOf(account)).filter((event) => event["kind"] === "usage");
    expect(usage).toHaveLength(1);
    expect(usage[0]).toMatchObject({ ended: "recalled", certainty: "exact", ...COUNTS, costNanoUsd: 0 });
  });

  test("takes the price of a hit out of the hold", async ({ expect }) => {
    const account = await openAccount(HOLD);
    const request = await account.admit({ price: PRICED });
    const counts = { seenTo: 30, prompt: 50, node: null, region: null };
    await account.object.word(word(account.id, request, "recalled", counts));
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: HOLD - HIT_COST, heldNanoUsd: 0 });
  });
});
