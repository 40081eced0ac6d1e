/**
 * The books under random lives of many requests at once, on the real SQLite: whatever is heard in whatever order, the
 * sums hold after every single step.
 */
import fc from "fast-check";
import { describe, test } from "vitest";
import { ACCOUNT } from "../../../src/account/admission.ts";
import { admit, extend } from "../../../src/account/admit.ts";
import { Books } from "../../../src/account/books.ts";
import { parseClocks } from "../../../src/account/clocks.ts";
import { hearReceipt, hearRenewal, hearWord, review } from "../../../src/account/hear.ts";
import type { Store } from "../../../src/account/store.ts";
import { shuffledLife } from "../../unit/account/lives.ts";
import { REQUEST, type Message } from "../../unit/account/support.ts";
import {
  emptyTables,
  wokenStore,
  newRequest,
  openAccount,
  PRICE,
  receipt,
  word,
  type Account,
} from "./support.ts";

const CLOCKS = parseClocks({});
const REQUESTS = Array.from({ length: 4 }, newRequest);
const RUNS = 100;
/** Of one request: few rows each. */
const ORDERS = 500;
/** More than any of these requests can cost. */
const CREDIT = 10_000_000;
const LONG_AFTER_MS = 10 * CLOCKS.pendingMaxMs;

const BUDGET = 450_000;
const LIMITS = {
  budgetTotalNanoUsd: BUDGET,
  requestsPerMinute: 60,
  requestsPerDay: 100,
  tokensPerMinute: 100_000,
};

type Step = { readonly request: string; readonly tokens: number; readonly ordinal: number } & {
  readonly kind:
    | "admit"
    | "stop"
    | "died"
    | "left"
    | "failover"
    | "gone"
    | "refused"
    | "renew"
    | "extend"
    | "wait";
};

const step: fc.Arbitrary<Step> = fc.record({
  request: fc.constantFrom(...REQUESTS),
  tokens: fc.integer({ min: 0, max: 100 }),
  ordinal: fc.integer({ min: 0, max: 3 }),
  kind: fc.constantFrom(
    "admit",
    "admit",
    "stop",
    "died",
    "left",
    "failover",
    "gone",
    "refused",
    "renew",
    "extend",
    "wait",
  ),
});

type World = {
  readonly books: Books;
  readonly store: Store;
  readonly account: Account;
  readonly admitted: Set<string>;
  nowMs: number;
};

function take(world: World, { request, tokens, ordinal, kind }: Step): void {
  const { books, store, account, admitted, nowMs } = world;
  const signed = (ended: "stop" | "node_died" | "client_gone") =>
    receipt(request, ended, { ordinal, to: tokens, prompt: tokens });
  const said = (why: "client_gone" | "node_lost" | "refused", goesOn: boolean) =>
    word(account.id, request, why, {
      ordinal,
      seenTo: tokens,
      prompt: tokens,
      next: goesOn ? { ordinal: ordinal + 1, node: "node_0000000000", region: "r", issuedAtMs: nowMs } : null,
    });
  switch (kind) {
    case "admit": {
      // Ids are never used twice: they are made of dice.
      if (admitted.has(request)) return;
      admitted.add(request);
      const stream = tokens % 2 === 0;
      admit(books, account.ask({ request, stream, price: PRICE }), nowMs);
      return;
    }
    case "stop":
      return void hearReceipt(books, signed("stop"), nowMs);
    case "died":
      return void hearReceipt(books, signed("node_died"), nowMs);
    case "left":
      return void hearReceipt(books, signed("client_gone"), nowMs);
    case "failover":
      return void hearWord(books, said("node_lost", true), nowMs);
    case "gone":
      return void hearWord(books, said("client_gone", false), nowMs);
    case "refused":
      return void hearWord(books, said("refused", false), nowMs);
    case "renew":
      return hearRenewal(
        books,
        { request, ordinal, position: tokens, node: "node_0000000000", region: "r" },
        nowMs,
      );
    case "extend": {
      const next = { ordinal: ordinal + 1, node: "node_0000000000", region: "r", issuedAtMs: nowMs };
      extend(books, { v: 1, account: account.id, request, ...next, promptCeiling: 100 + tokens }, nowMs);
      return;
    }
    case "wait":
      world.nowMs += tokens * 10_000;
      for (const hold of store.holds.due(world.nowMs, 100)) review(books, hold, world.nowMs, new Set());
      return;
  }
}

/** Empties the object's tables and opens its books with this much money. */
function openBooks(state: DurableObjectState, credit: number): { books: Books; store: Store } {
  emptyTables(state);
  const store = wokenStore(state, CLOCKS.logKeepMs);
  const books = new Books(store, CLOCKS);
  books.credit({ creditId: "c", amountNanoUsd: credit, note: "" }, 0);
  return { books, store };
}

function hear(books: Books, message: Message, nowMs: number): void {
  switch (message.kind) {
    case "word":
      return void hearWord(books, message.word, nowMs);
    case "receipt":
      return void hearReceipt(books, message.receipt, nowMs);
    case "renewal": {
      const { ordinal, position } = message;
      return hearRenewal(
        books,
        { request: REQUEST, ordinal, position, node: "node_0000000000", region: "r" },
        nowMs,
      );
    }
  }
}

describe("the books", () => {
  test("charge a request the same, whatever the order in which it is told, and settle it in between", async ({
    expect,
  }) => {
    const account = await openAccount(0);
    await account.inside((_, state) => {
      const billed = (messages: readonly Message[], stream: boolean): unknown => {
        const { books, store } = openBooks(state, CREDIT);
        admit(books, account.ask({ request: REQUEST, stream, promptCeiling: 200, price: PRICE }), 1_000);
        for (const message of messages) hear(books, message, 2_000);
        for (const hold of store.holds.due(LONG_AFTER_MS, 10)) review(books, hold, LONG_AFTER_MS, new Set());
        expect(books.heldNanoUsd).toBe(0);
        const last = store.log.newestOf(REQUEST, books.account?.lastSeq ?? 0);
        const { certainty, promptTokens, completionTokens } = last ?? {};
        const charged = CREDIT - (books.account?.balanceNanoUsd ?? 0);
        return { charged, certainty, promptTokens, completionTokens };
      };
      fc.assert(
        fc.property(shuffledLife, ({ stream, told, heard }) => {
          expect(billed(heard, stream)).toEqual(billed(told, stream));
        }),
        { numRuns: ORDERS },
      );
    });
  });

  test("hold after every step: credit = balance + costs, held within balance and budget, a restart changes nothing", async ({
    expect,
  }) => {
    const account = await openAccount(0, LIMITS);
    await account.inside((_, state) => {
      fc.assert(
        fc.property(
          fc.array(step, { minLength: 40, maxLength: 80, size: "max" }),
          fc.integer({ min: 150_000, max: 700_000 }),
          (steps, credit) => {
            const { books, store } = openBooks(state, credit);
            const world: World = { books, store, account, admitted: new Set(), nowMs: 1_000_000 };
            for (const taken of steps) {
              take(world, taken);
              books.finishTurn();
              check(state, books, credit);
            }
          },
        ),
        { numRuns: RUNS },
      );
    });

    function check(state: DurableObjectState, books: Books, credit: number): void {
      const { store } = books;
      const balance = books.account?.balanceNanoUsd ?? 0;
      const holds = store.holds.open();
      expect(books.heldNanoUsd).toBe(holds.reduce((sum, { heldNanoUsd }) => sum + heldNanoUsd, 0));
      expect(books.heldNanoUsd).toBeGreaterThanOrEqual(0);
      expect(books.heldNanoUsd).toBeLessThanOrEqual(balance);
      const events = store.log.after(0, 10_000);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 1));
      const usage = events.filter((event) => event.kind === "usage");
      const charged = usage.reduce((sum, event) => sum + event.chargedNanoUsd, 0);
      expect(balance).toBe(credit - charged);
      const used = books.scopes.used(account.key);
      expect(used.totalNanoUsd).toBe(charged);
      expect(used.totalNanoUsd + books.scopes.tally(account.key).heldNanoUsd).toBeLessThanOrEqual(BUDGET);
      const woken = new Books(wokenStore(state, CLOCKS.logKeepMs), CLOCKS);
      expect(woken.store.holds.open()).toEqual(holds);
      expect(woken.store.holds.count()).toEqual(store.holds.count());
      expect(woken.store.log.after(0, 10_000)).toEqual(events);
      for (const id of [ACCOUNT, account.key]) {
        expect(woken.scopes.used(id)).toEqual(books.scopes.used(id));
        expect(woken.scopes.tally(id)).toEqual(books.scopes.tally(id));
      }
      for (const request of REQUESTS) {
        const revisions = usage.filter((event) => event.request === request);
        expect(revisions.map(({ revision }) => revision)).toEqual(revisions.map((_, at) => at));
        const paid = revisions.reduce((sum, event) => sum + event.chargedNanoUsd, 0);
        expect(paid).toBe(revisions.at(-1)?.costNanoUsd ?? 0);
      }
    }
  });
});
