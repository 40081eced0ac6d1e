/** Upstreams in the account's object: allowed only where somebody said so, settled by a word, and never left hanging. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, test, vi } from "vitest";
import { parseClocks } from "../../../src/account/clocks.ts";
import { billsOf, eventsOf, HOLD, openAccount, REGION, word, type Account } from "./support.ts";

const CLOCKS = parseClocks(env);
const UPSTREAM = "upstream_0000000000";
const BALANCE = 10 * HOLD;

afterEach(() => vi.useRealTimers());

async function later(account: Account, byMs: number): Promise<void> {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + byMs });
  await runDurableObjectAlarm(account.object);
}

/** A request that no node had room for, named as being at an upstream. */
async function overflowed(account: Account): Promise<string> {
  const request = await account.admit();
  const next = { ordinal: 1, node: UPSTREAM, region: REGION, issuedAtMs: Date.now() };
  await account.object.word(word(account.id, request, "no_node", { node: null, region: null, next }));
  return request;
}

function answered(account: Account, request: string, seenTo = 30) {
  return word(account.id, request, "answered", {
    ordinal: 1,
    ended: "stop",
    seenTo,
    prompt: 50,
    reasoning: 10,
    node: UPSTREAM,
    counted: { certainty: "reported", costNanoUsd: 11 },
  });
}

test("an account's requests stay with nodes until it says otherwise, and it can take that back", async ({
  expect,
}) => {
  const account = await openAccount(BALANCE);
  const allowed = async () => {
    const verdict = await account.object.admit(account.ask());
    return verdict.ok ? verdict.upstreams : "refused";
  };
  expect(await allowed()).toBeUndefined();
  for (const upstreams of ["no-retention", "any"] as const) {
    await account.object.configure({ account: account.id, upstreams });
    expect(await allowed()).toBe(upstreams);
  }
  // What is not said stays.
  await account.object.configure({ account: account.id, name: "another" });
  expect(await account.object.status()).toMatchObject({ upstreams: "any", name: "another" });
  await account.object.configure({ account: account.id, upstreams: "none" });
  expect(await allowed()).toBeUndefined();
});

test("a key narrows what its account allows, and never widens it", async ({ expect }) => {
  const account = await openAccount(BALANCE);
  const allowed = async () => {
    const verdict = await account.object.admit(account.ask());
    return verdict.ok ? (verdict.upstreams ?? "none") : "refused";
  };
  const cases = [
    ["any", "no-retention", "no-retention"],
    ["no-retention", "any", "no-retention"],
    ["any", "none", "none"],
    ["none", "any", "none"],
  ] as const;
  for (const [ofAccount, ofKey, both] of cases) {
    await account.object.configure({ account: account.id, upstreams: ofAccount });
    await account.object.changeKey(account.key, { upstreams: ofKey });
    expect(await allowed()).toBe(both);
  }
  expect(await account.object.keyStatus(account.key)).toMatchObject({ upstreams: "any" });
});

test("an upstream's answer is charged once by the word that tells of it, however often that comes", async ({
  expect,
}) => {
  const account = await openAccount(BALANCE);
  const request = await overflowed(account);
  const told = answered(account, request);
  const acks = await Promise.all([account.object.word(told), account.object.word(told)]);
  expect(acks).toEqual([{ state: "closed" }, { state: "closed" }]);
  await account.object.word(answered(account, request, 99));
  expect(await billsOf(account)).toEqual([
    { revision: 0, certainty: "reported", ended: "stop", tokens: 30, charged: 80_000, writtenOff: 0 },
  ]);
  expect((await eventsOf(account)).at(-1)).toMatchObject({
    reasoningTokens: 10,
    attempts: [
      { ordinal: 0, node: null, ended: "no_node" },
      { ordinal: 1, node: UPSTREAM, region: REGION, ended: "stop", to: 30, upstreamCostNanoUsd: 11 },
    ],
  });
  expect(await account.object.status()).toMatchObject({ heldNanoUsd: 0, holdsOpen: 0 });
});

test("a stream that runs long keeps its place while its Worker says so, and is closed by its word", async ({
  expect,
}) => {
  const account = await openAccount(BALANCE);
  const request = await overflowed(account);
  const renew = [{ request, ordinal: 1, position: 12, node: UPSTREAM, region: REGION }];
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + CLOCKS.holdLapseMs - 1_000 });
  await account.object.settle({ v: 1, account: account.id, receipts: [], renew });
  await later(account, 2_000);
  expect(await account.object.status()).toMatchObject({ holdsOpen: 1, holdsPending: 0 });
  await account.object.word(answered(account, request));
  expect(await billsOf(account)).toMatchObject([{ revision: 0, certainty: "reported" }]);
});

test("a Worker that dies under an upstream costs its client nothing, and the row says that nobody knows", async ({
  expect,
}) => {
  const account = await openAccount(BALANCE);
  await overflowed(account);
  await later(account, CLOCKS.holdLapseMs);
  expect(await account.object.status()).toMatchObject({ holdsOpen: 0, holdsPending: 1, heldNanoUsd: HOLD });
  await later(account, CLOCKS.pendingMaxMs);
  expect(await billsOf(account)).toMatchObject([
    { certainty: "pending", charged: 0 },
    { certainty: "unknown", ended: "node_lost", tokens: 0, charged: 0 },
  ]);
  expect(await account.object.status()).toMatchObject({
    balanceNanoUsd: BALANCE,
    heldNanoUsd: 0,
    holdsPending: 0,
  });
});
