/** How requests close in the account's object: whatever is heard, in whatever order, however often. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, test, vi } from "vitest";
import { parseClocks } from "../../../src/account/clocks.ts";
import { enrolled, sendBeat } from "../nodes/support.ts";
import {
  billsOf,
  call,
  COST,
  eventsOf,
  HOLD,
  newRequest,
  NODE,
  openAccount,
  PRICE,
  receipt,
  REGION,
  word,
  type Account,
} from "./support.ts";

const CLOCKS = parseClocks(env);
const BALANCE = 10 * HOLD;

afterEach(() => vi.useRealTimers());

/** Moves the object's clock, and rings its alarm. */
async function later(account: Account, byMs: number): Promise<void> {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + byMs });
  await runDurableObjectAlarm(account.object);
}

function bill(certainty: string, ended: string, [tokens, charged, writtenOff = 0, revision = 0]: number[]) {
  return { revision, certainty, ended, tokens, charged, writtenOff };
}

describe("a request that ends by itself", () => {
  test("is charged once, however often and late its receipt comes", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    const last = receipt(request, "stop");
    await Promise.all([account.settle(last), account.settle(last, last)]);
    expect(await account.settle(last)).toEqual({ acks: [{ request, ordinal: 0, choice: 0 }], renewed: [] });
    expect(await billsOf(account)).toEqual([bill("exact", "stop", [30, COST])]);
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: BALANCE - COST,
      heldNanoUsd: 0,
      holdsOpen: 0,
    });
  });

  test("is charged by what a node's server reported, where the receipt says so, and the row says it too", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    await account.settle(receipt(request, "stop", { certainty: "reported" }));
    expect(await billsOf(account)).toEqual([bill("reported", "stop", [30, COST])]);
  });

  test("is acknowledged though nobody here has ever heard of it", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = newRequest();
    expect(await account.settle(receipt(request, "stop"))).toMatchObject({ acks: [{ request }] });
    expect(await billsOf(account)).toEqual([]);
  });

  test("and whose client then asks to go on elsewhere is held for again, and billed as it ended there", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    await account.settle(receipt(request, "stop"));
    const lost = word(account.id, request, "node_lost", { seenTo: 28, prompt: 50, next: call(1) });
    expect(await account.object.word(lost)).toEqual({ state: "open" });
    expect(await account.object.status()).toMatchObject({ holdsOpen: 1, heldNanoUsd: HOLD - COST });
    await account.settle(receipt(request, "stop", { ordinal: 1, from: 28, to: 40 }));
    expect(await billsOf(account)).toEqual([
      bill("exact", "stop", [30, COST]),
      bill("exact", "stop", [40, 10_000, 0, 1]),
    ]);
  });

  test("keeps each receipt as its node signed it, also where a later word reopens it", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    const signed = [0, 1].map((ordinal) => ({ body: `{"ordinal":${ordinal}}`, sig: `s${ordinal}` }));
    await account.settle({ ...receipt(request, "stop"), signed: signed[0] });
    await account.object.word(word(account.id, request, "node_lost", { seenTo: 28, next: call(1) }));
    const second = receipt(request, "stop", { ordinal: 1, from: 28, to: 40 });
    await account.settle({ ...second, signed: signed[1] });
    const [, closed] = (await eventsOf(account)).filter(({ kind }) => kind === "usage");
    expect(closed).toMatchObject({ attempts: signed.map((receipt) => ({ receipt })) });
  });

  test("stays closed where no money is left for going on elsewhere", async ({ expect }) => {
    const account = await openAccount(HOLD + COST);
    const request = await account.admit();
    await account.settle(receipt(request, "stop"));
    await account.admit();
    const lost = word(account.id, request, "node_lost", { seenTo: 28, prompt: 50, next: call(1) });
    expect(await account.object.word(lost)).toEqual({ state: "closed" });
    expect(await billsOf(account)).toHaveLength(1);
  });

  const goesOn = { seenTo: 20, prompt: 50, next: call(1) };
  const FREE = { ...PRICE, inputMicroUsdPerM: 0, cachedMicroUsdPerM: 0, outputMicroUsdPerM: 0 };
  test.for([
    ["at the same cost", {}, { to: 30 }, ["exact", COST, 30, 0]],
    ["and free of charge", { price: FREE }, { to: 60 }, ["exact", 0, 60, 0]],
    ["and reported", {}, { to: 60, certainty: "reported" }, ["reported", COST, 60, 30_000]],
  ] as const)(
    "and goes on elsewhere %s is over for good, though the receipt from there overtakes the word",
    async ([, change, { to, ...counted }, [certainty, first, tokens, charged]], { expect }) => {
      const account = await openAccount(BALANCE);
      const request = await account.admit(change);
      await account.settle(receipt(request, "stop", counted));
      await account.settle(receipt(request, "stop", { ordinal: 1, from: 20, to, ...counted }));
      // The answer is there and billed: it may be delivered.
      const lost = word(account.id, request, "node_lost", goesOn);
      expect(await account.object.word(lost)).toEqual({ state: "open" });
      expect(await account.object.status()).toMatchObject({ holdsOpen: 0, heldNanoUsd: 0 });
      expect(await billsOf(account)).toEqual([
        bill(certainty, "stop", [30, first]),
        bill(certainty, "stop", [tokens, charged, 0, 1]),
      ]);
    },
  );

  test("and whose answer an upstream gives in the end is billed as that, though its word overtakes the one that names it", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit({ stream: false });
    await account.settle(receipt(request, "stop"));
    const node = "upstream_0000000000";
    const counted = { certainty: "reported", costNanoUsd: 11 } as const;
    const answered = { ordinal: 1, ended: "stop", seenTo: 40, prompt: 50, node, counted } as const;
    await account.object.word(word(account.id, request, "answered", answered));
    await account.object.word(word(account.id, request, "node_lost", { next: { ...call(1), node } }));
    await later(account, 10 * CLOCKS.pendingMaxMs);
    expect(await billsOf(account)).toEqual([
      bill("exact", "stop", [30, COST]),
      bill("reported", "stop", [40, 10_000, 0, 1]),
    ]);
  });

  test("takes no tokens of a minute from those that run, however often its receipt from elsewhere comes", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE, { tokensPerMinute: 1_000 });
    const request = await account.admit();
    await account.settle(receipt(request, "stop"));
    const again = receipt(request, "stop", { ordinal: 1, from: 20, to: 30 });
    for (let time = 0; time < 3; time++) await account.settle(again);
    // Eighty are used.
    expect(await account.object.admit(account.ask({ promptCeiling: 460, outputAsked: 460 }))).toMatchObject({
      ok: true,
    });
  });

  test("but whose answer in one piece never reached the client is paid back", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit({ stream: false });
    await account.settle(receipt(request, "stop"));
    await account.object.word(word(account.id, request, "node_lost"));
    expect(await billsOf(account)).toEqual([
      bill("exact", "stop", [30, COST]),
      bill("exact", "node_lost", [0, -COST, 0, 1]),
    ]);
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: BALANCE, heldNanoUsd: 0 });
  });
});

describe("a request whose client left", () => {
  test("is billed the same, whether the word or the receipt comes first", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    for (const wordFirst of [true, false]) {
      const request = await account.admit();
      const left = word(account.id, request, "client_gone", { seenTo: 28, prompt: 50 });
      const signed = receipt(request, "client_gone");
      if (wordFirst) expect(await account.object.word(left)).toEqual({ state: "open" });
      await account.settle(signed);
      if (!wordFirst) expect(await account.object.word(left)).toEqual({ state: "closed" });
    }
    expect(await billsOf(account)).toEqual([
      bill("exact", "client_gone", [30, COST]),
      bill("exact", "client_gone", [30, COST]),
    ]);
  });

  test("and whose Worker died too is closed by its receipt, half a minute later", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    await account.settle(receipt(request, "client_gone"));
    expect(await billsOf(account)).toEqual([]);
    await later(account, CLOCKS.closeWithoutWordMs + 1);
    expect(await billsOf(account)).toEqual([bill("exact", "client_gone", [30, COST])]);
  });
});

describe("a request whose node is lost", () => {
  test("goes on elsewhere and is billed by its last receipt", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    const lost = word(account.id, request, "node_lost", { seenTo: 20, prompt: 50, next: call(1) });
    expect(await account.object.word(lost)).toEqual({ state: "open" });
    await account.settle(receipt(request, "stop", { ordinal: 1, from: 20, to: 44 }));
    // A receipt of the first attempt, and the word once more: both too late to matter.
    await account.settle(receipt(request, "node_died", { to: 22 }));
    await account.object.word(lost);
    expect(await billsOf(account)).toEqual([bill("exact", "stop", [44, 94_000])]);
    expect(await account.object.status()).toMatchObject({ heldNanoUsd: 0, holdsOpen: 0 });
  });

  test("is pending, then estimated; a late receipt corrects the usage and costs the customer nothing", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    await account.object.word(word(account.id, request, "node_lost", { seenTo: 10, prompt: 50 }));
    expect(await account.object.status()).toMatchObject({ holdsOpen: 0, holdsPending: 1, heldNanoUsd: HOLD });
    await later(account, CLOCKS.holdLapseMs + 1);
    expect(await billsOf(account)).toEqual([bill("pending", "node_lost", [10, 0])]);
    await later(account, CLOCKS.pendingMaxMs + 1);
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: BALANCE - 60_000, heldNanoUsd: 0 });
    await account.settle(receipt(request, "node_died", { to: 30 }));
    expect(await billsOf(account)).toEqual([
      bill("pending", "node_lost", [10, 0]),
      bill("estimated", "node_lost", [10, 60_000, 0, 1]),
      bill("exact", "node_lost", [30, 0, 20_000, 2]),
    ]);
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: BALANCE - 60_000 });
  });

  test("for good, with its Worker, costs nothing: nobody can know", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    const renew = [{ request, ordinal: 0, position: 12, node: NODE, region: REGION }];
    const answer = await account.object.settle({ v: 1, account: account.id, receipts: [], renew });
    expect(answer.renewed).toEqual([{ request, ordinal: 0, choice: 0 }]);
    await later(account, CLOCKS.holdLapseMs + 1);
    await later(account, CLOCKS.pendingMaxMs + 1);
    expect(await billsOf(account)).toEqual([
      bill("pending", "pending", [0, 0]),
      bill("unknown", "node_lost", [0, 0, 0, 1]),
    ]);
  });
});

describe("a hold", () => {
  test("that a beat renews does not lapse", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    const renew = [{ request, ordinal: 0, position: 12, node: NODE, region: REGION }];
    for (let minute = 0; minute < 3; minute++) {
      await later(account, CLOCKS.holdLapseMs - 5_000);
      await account.object.settle({ v: 1, account: account.id, receipts: [], renew });
    }
    expect(await account.object.status()).toMatchObject({ holdsOpen: 1, heldNanoUsd: HOLD });
    await account.settle(receipt(request, "stop"));
    expect(await billsOf(account)).toEqual([bill("exact", "stop", [30, COST])]);
  });

  test("whose node and Worker are gone gives its place free after a minute, its money later, and in the end holds nothing", async ({
    expect,
  }) => {
    const account = await openAccount(2 * HOLD, { concurrency: 1 });
    const gone = await account.admit();
    expect(await account.object.admit(account.ask())).toMatchObject({
      refusal: { kind: "concurrency_limited", scope: "key", max: 1 },
    });
    const renew = [{ request: gone, ordinal: 0, position: 12, node: NODE, region: REGION }];
    await account.object.settle({ v: 1, account: account.id, receipts: [], renew });
    await later(account, CLOCKS.holdLapseMs + 1);
    // No phantom limit: the next one starts. But its money may still be owed.
    await account.settle(receipt(await account.admit(), "stop"));
    expect(await account.object.status()).toMatchObject({ holdsOpen: 0, holdsPending: 1, heldNanoUsd: HOLD });
    await later(account, CLOCKS.pendingMaxMs + 1);
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: 2 * HOLD - COST,
      heldNanoUsd: 0,
      holdsOpen: 0,
      holdsPending: 0,
    });
  });

  test("that no beat ever named closes at nothing once no node can have its call", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    // No region has a node: nobody can have taken it.
    await account.object.configure({ account: account.id, regions: ["nowhere"] });
    await account.admit();
    await later(account, CLOCKS.holdLapseMs + 1);
    expect((await billsOf(account)).at(-1)).toMatchObject({ certainty: "exact", ended: "never_began" });
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: BALANCE, heldNanoUsd: 0 });
  });

  test("is not closed while a node may have it of a region that its account was allowed at the time", async ({
    expect,
  }) => {
    const node = await enrolled("eu-before");
    await sendBeat(node);
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    await account.object.configure({ account: account.id, regions: ["eu-before"] });
    const pinned = await account.admit();
    await account.object.configure({ account: account.id, regions: ["elsewhere"] });
    await later(account, CLOCKS.holdLapseMs + 1);
    expect(await billsOf(account)).toMatchObject([{ certainty: "pending" }, { certainty: "pending" }]);
    for (const one of [request, pinned]) await account.settle(receipt(one, "stop", { node: node.id }));
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: BALANCE - 2 * COST });
  });

  test("can be extended once, for its next call, within what is free", async ({ expect }) => {
    const account = await openAccount(2 * HOLD);
    const request = await account.admit();
    const ask = { v: 1, account: account.id, request, ...call(1), promptCeiling: 150 };
    expect(await account.object.extend({ ...ask, promptCeiling: 100_000 })).toMatchObject({
      ok: false,
      refusal: { kind: "insufficient_balance", heldByOthers: false },
    });
    expect(await account.object.extend(ask)).toEqual({ ok: true, promptCeiling: 150, heldNanoUsd: 250_000 });
    expect(await account.object.extend({ ...ask, ordinal: 2, promptCeiling: 160 })).toEqual({
      ok: false,
      refusal: { kind: "not_extendable" },
    });
    await account.settle(receipt(request, "stop", { ordinal: 1, prompt: 150, to: 10 }));
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: 2 * HOLD - 160_000,
      heldNanoUsd: 0,
    });
  });

  test("bounds what a receipt can claim", async ({ expect }) => {
    const account = await openAccount(HOLD);
    const request = await account.admit();
    await account.settle(receipt(request, "stop", { to: 1_000_000, prompt: 1_000_000 }));
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 0, heldNanoUsd: 0 });
  });
});

describe("money an operator gives", () => {
  test("is given once per credit id, and taken by a negative one", async ({ expect }) => {
    const account = await openAccount(0);
    const credit = { creditId: "c1", amountNanoUsd: 500, note: "thanks" };
    expect(await account.object.credit(credit)).toEqual({ balanceNanoUsd: 500 });
    expect(await account.object.credit(credit)).toEqual({ balanceNanoUsd: 500 });
    expect(await account.object.credit({ ...credit, creditId: "c2", amountNanoUsd: -200 })).toEqual({
      balanceNanoUsd: 300,
    });
    expect(await eventsOf(account)).toMatchObject([
      { kind: "credit", seq: 1, creditId: "c1", amountNanoUsd: 500, note: "thanks" },
      { kind: "credit", seq: 2, creditId: "c2", amountNanoUsd: -200 },
    ]);
  });
});
