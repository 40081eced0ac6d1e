/**
 * The books under many lives at once, on the real SQLite: each message told twice, in any order, with restarts and time in
 * between, and with absurd ones among them. What each request is charged in the end follows from its life alone.
 */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { admit } from "../../../src/account/admit.ts";
import { Books } from "../../../src/account/books.ts";
import { parseClocks } from "../../../src/account/clocks.ts";
import { hearReceipt, hearRenewal, hearWord, review } from "../../../src/account/hear.ts";
import { life } from "../../unit/account/lives.ts";
import {
  call,
  OUTPUT_CEILING,
  PRICE,
  PROMPT_CEILING,
  receipt as lie,
  renewal,
  UPSTREAM,
  word as says,
  type Message,
} from "../../unit/account/support.ts";
import { emptyTables, newRequest, openAccount, wokenStore, word, type Account } from "./support.ts";

const CLOCKS = parseClocks({});
const RUNS = 60;
const LIVES_MAX = 5;
const REQUESTS = Array.from({ length: LIVES_MAX }, newRequest);
const T0 = 1_000_000;
/** No budget is in the way: what is to be seen here is the bill. */
const CREDIT = 1_000_000_000;
/** Everything is told before a request is closed without its word. */
const IN_TIME_MS = CLOCKS.closeWithoutWordMs - 1;
/** And here some of it comes after that. */
const TOO_LATE_MS = 4 * CLOCKS.pendingMaxMs;
const WORST = PROMPT_CEILING * 1_000 + OUTPUT_CEILING * 2_000;

type Life = { readonly stream: boolean; readonly messages: readonly Message[] };
type Told = { readonly of: number; readonly message: Message; readonly atMs: number };

/** A few lives, and everything of them told twice, in any order, at times up to `forMs`; restarts among it. */
function world(forMs: number): fc.Arbitrary<{
  lives: Life[];
  told: Told[];
  restarts: ReadonlySet<number>;
}> {
  return fc.array(life, { minLength: 1, maxLength: LIVES_MAX }).chain((lives) => {
    const all = lives.flatMap(({ messages }, of) => messages.map((message) => ({ of, message })));
    const twice = [...all, ...all];
    return fc.record({
      lives: fc.constant(lives),
      told: fc
        .tuple(
          fc.shuffledSubarray(twice, { minLength: twice.length, maxLength: twice.length }),
          fc.array(fc.integer({ min: 0, max: forMs }), { minLength: twice.length, maxLength: twice.length }),
        )
        .map(([messages, times]) => {
          const sorted = times.toSorted((a, b) => a - b);
          return messages.map((one, at) => ({ ...one, atMs: T0 + (sorted[at] ?? 0) }));
        }),
      restarts: fc.array(fc.nat(twice.length)).map((steps) => new Set(steps)),
    });
  });
}

class World {
  readonly #account: Account;
  readonly #state: DurableObjectState;
  #books: Books;

  constructor(account: Account, state: DurableObjectState) {
    emptyTables(state);
    this.#account = account;
    this.#state = state;
    this.#books = this.#open();
    this.#books.credit({ creditId: "c", amountNanoUsd: CREDIT, note: "" }, 0);
    this.#books.finishTurn();
  }

  #open(): Books {
    return new Books(wokenStore(this.#state, CLOCKS.logKeepMs), CLOCKS);
  }

  /** What a crash leaves: the tables. */
  restart(): void {
    this.#books = this.#open();
  }

  admit(of: number, stream: boolean): void {
    const limits = { promptCeiling: PROMPT_CEILING, outputAsked: OUTPUT_CEILING };
    const { verdict } = admit(
      this.#books,
      this.#account.ask({ request: REQUESTS[of] ?? "", stream, price: PRICE, ...limits }),
      T0,
    );
    if (!verdict.ok) throw new Error(`refused: ${verdict.refusal.kind}`);
    this.#books.finishTurn();
  }

  hear(of: number, message: Message, nowMs: number): void {
    const request = REQUESTS[of] ?? "";
    switch (message.kind) {
      case "word":
        hearWord(this.#books, { ...message.word, request }, nowMs);
        break;
      case "receipt":
        hearReceipt(
          this.#books,
          { ...message.receipt, receipt: { ...message.receipt.receipt, request } },
          nowMs,
        );
        break;
      case "renewal": {
        const { ordinal, position } = message;
        hearRenewal(this.#books, { request, ordinal, position, node: "node_0000000000", region: "r" }, nowMs);
      }
    }
    this.#books.finishTurn();
    const holds = this.#books.store.holds.due(Number.MAX_SAFE_INTEGER, 100);
    expect(this.#books.heldNanoUsd).toBe(holds.reduce((sum, { heldNanoUsd }) => sum + heldNanoUsd, 0));
    expect(this.#books.heldNanoUsd).toBeGreaterThanOrEqual(0);
  }

  /** Looks at all that is due, as the alarm would. */
  review(nowMs: number): void {
    for (const hold of this.#books.store.holds.due(nowMs, 100)) review(this.#books, hold, nowMs, new Set());
    this.#books.finishTurn();
  }

  /** Until nothing is open any more. */
  wait(fromMs: number): void {
    for (let nowMs = fromMs; nowMs < fromMs + 3 * CLOCKS.pendingMaxMs; nowMs += CLOCKS.closeWithoutWordMs)
      this.review(nowMs);
    expect(this.#books.heldNanoUsd).toBe(0);
    expect(this.#books.store.holds.count()).toEqual({ open: 0, waiting: 0 });
  }

  /** What each request was charged, and what of it was written off; and that they add up. */
  bills(): readonly { charged: number; writtenOff: number; tokens: number }[] {
    const bills = REQUESTS.map(() => ({ charged: 0, writtenOff: 0, tokens: 0 }));
    for (const event of this.#books.store.log.after(0, 10_000)) {
      if (event.kind !== "usage") continue;
      const bill = bills[REQUESTS.indexOf(event.request)];
      if (bill === undefined) continue;
      bill.charged += event.chargedNanoUsd;
      bill.writtenOff = event.writeOffNanoUsd;
      bill.tokens = event.completionTokens;
    }
    const charged = bills.reduce((sum, bill) => sum + bill.charged, 0);
    expect(this.#books.account?.balanceNanoUsd).toBe(CREDIT - charged);
    return bills;
  }
}

/** What a client has at least, and what its nodes handed over at most. */
function bounds({ stream, messages }: Life): { readonly seen: number; readonly made: number } {
  const words = messages.flatMap((one) => (one.kind === "word" ? [one.word.seenTo] : []));
  const receipts = messages.flatMap((one) => (one.kind === "receipt" ? [one.receipt.receipt.to] : []));
  return { seen: stream ? Math.max(0, ...words) : 0, made: Math.max(0, ...words, ...receipts) };
}

let account: Account;
beforeAll(async () => {
  account = await openAccount(0);
});

function inOrder(state: DurableObjectState, one: Life): { charged: number } {
  const alone = new World(account, state);
  alone.admit(0, one.stream);
  for (const message of one.messages) alone.hear(0, message, T0 + 1_000);
  alone.wait(T0 + 1_000);
  return alone.bills()[0] ?? { charged: Number.NaN };
}

function play(
  state: DurableObjectState,
  { lives, told, restarts }: { lives: Life[]; told: Told[]; restarts: ReadonlySet<number> },
): World {
  const together = new World(account, state);
  for (const [of, { stream }] of lives.entries()) together.admit(of, stream);
  for (const [step, { of, message, atMs }] of told.entries()) {
    if (restarts.has(step)) together.restart();
    together.review(atMs);
    together.hear(of, message, atMs);
  }
  together.wait(told.at(-1)?.atMs ?? T0);
  return together;
}

describe("many requests at once, told twice, in any order, through restarts", () => {
  test("are charged what each is charged alone and in order, where all is told in time", async () => {
    await account.inside((_, state) => {
      fc.assert(
        fc.property(world(IN_TIME_MS), (played) => {
          const expected = played.lives.map((one) => inOrder(state, one).charged);
          const bills = play(state, played).bills();
          expect(bills.slice(0, played.lives.length).map(({ charged }) => charged)).toEqual(expected);
        }),
        { numRuns: RUNS },
      );
    });
  });

  test("are never charged more than they held, more than was made, or less than the client has; what comes too late is written off", async () => {
    await account.inside((_, state) => {
      fc.assert(
        fc.property(world(TOO_LATE_MS), (played) => {
          const bills = play(state, played).bills();
          for (const [of, one] of played.lives.entries()) {
            const { charged, writtenOff, tokens } = bills[of] ?? { charged: -1, writtenOff: -1, tokens: -1 };
            const { seen, made } = bounds(one);
            expect(charged).toBeGreaterThanOrEqual(0);
            expect(charged + writtenOff).toBeLessThanOrEqual(WORST);
            expect(writtenOff).toBeGreaterThanOrEqual(0);
            expect(tokens).toBeLessThanOrEqual(Math.min(made, OUTPUT_CEILING));
            expect(tokens).toBeGreaterThanOrEqual(Math.min(seen, OUTPUT_CEILING));
          }
        }),
        { numRuns: RUNS },
      );
    });
  });
});

test("an upstream's word that comes a quarter of an hour late says what the client has, among whatever else is told", async () => {
  await account.inside((_, state) => {
    const goes = says(0, "no_node", { next: call(1, UPSTREAM) });
    const counted = { certainty: "reported", costNanoUsd: 1 } as const;
    const answered = (seenTo: number, prompt: number): Message =>
      says(1, "answered", { seenTo, prompt, node: UPSTREAM, ended: "stop", counted });
    const lost = says(0, "node_lost");
    const signed = lie(0, "client_gone", { to: 0, prompt: 50, cached: 10 });
    const lateMs = T0 + 960_000;
    const told = [
      ...[goes].map((message) => ({ of: 1, message, atMs: T0 })),
      ...[signed, renewal(0, 0), lost].map((message) => ({ of: 2, message, atMs: T0 })),
      ...[goes, answered(0, 0)].map((message) => ({ of: 0, message, atMs: T0 })),
      ...[answered(1, 50), goes, answered(1, 50)].map((message) => ({ of: 1, message, atMs: lateMs })),
      ...[signed, renewal(0, 0)].map((message) => ({ of: 2, message, atMs: lateMs })),
      ...[goes, answered(0, 0)].map((message) => ({ of: 0, message, atMs: lateMs })),
    ];
    const lives = [false, true, false].map((stream) => ({ stream, messages: [] }));
    const bills = play(state, { lives, told, restarts: new Set() }).bills();
    expect(bills[1]).toEqual({ charged: 0, writtenOff: 52_000, tokens: 1 });
  });
});

describe("absurd, forged and replayed usage", () => {
  const absurd = fc.record({
    of: fc.nat(LIVES_MAX - 1),
    ordinal: fc.integer({ min: 0, max: 15 }),
    to: fc.integer({ min: 0, max: 10_000_000 }),
    prompt: fc.integer({ min: 0, max: 10_000_000 }),
    ended: fc.constantFrom(
      "stop" as const,
      "client_gone" as const,
      "engine_died" as const,
      "length" as const,
    ),
  });

  test("charges nobody more than was held for them, and nothing to requests that never were", async () => {
    await account.inside((_, state) => {
      fc.assert(
        fc.property(
          fc.array(life, { minLength: 1, maxLength: 3 }),
          fc.array(absurd, { maxLength: 30 }),
          (lives, lies) => {
            const together = new World(account, state);
            for (const [of, { stream }] of lives.entries()) together.admit(of, stream);
            for (const { of, ordinal, to, prompt, ended } of lies) {
              together.hear(of, lie(ordinal, ended, { to, prompt, cached: prompt }), T0 + 1_000);
              together.hear(
                of,
                { kind: "word", word: word(account.id, "", "client_gone", { ordinal, seenTo: to, prompt }) },
                T0 + 1_000,
              );
            }
            together.wait(T0 + 1_000);
            const bills = together.bills();
            for (const [of, { charged, writtenOff }] of bills.entries()) {
              expect(charged).toBeGreaterThanOrEqual(0);
              expect(charged + writtenOff).toBeLessThanOrEqual(of < lives.length ? WORST : 0);
            }
          },
        ),
        { numRuns: RUNS },
      );
    });
  });

  test("that names an attempt whose receipt is known changes nothing, whatever it says", async () => {
    await account.inside((_, state) => {
      fc.assert(
        fc.property(life, fc.array(absurd, { maxLength: 20 }), (one, lies) => {
          const known = new Set(
            one.messages.flatMap((said) => (said.kind === "receipt" ? [said.receipt.receipt.ordinal] : [])),
          );
          const honest = inOrder(state, one).charged;
          const lied = new World(account, state);
          lied.admit(0, one.stream);
          for (const message of one.messages) lied.hear(0, message, T0 + 1_000);
          for (const { ordinal, to, prompt, ended } of lies)
            if (known.has(ordinal)) lied.hear(0, lie(ordinal, ended, { to, prompt, cached: 0 }), T0 + 1_000);
          lied.wait(T0 + 1_000);
          expect(lied.bills()[0]?.charged).toBe(honest);
        }),
        { numRuns: RUNS },
      );
    });
  });
});
