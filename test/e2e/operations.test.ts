/**
 * What each path does to what is paid for, counted on a running platform: rows, and operations on objects, KV, queue and
 * D1. The numbers are the promise; `npm run bench -- cost` makes dollars of them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Counts } from "../../bench/cost/price.ts";
import { startCounting, type CountingStack } from "../../bench/cost/stack.ts";
import { eventually, type Tenant } from "../support/stack.ts";

const TIMES = 4;

let stack: CountingStack;
let poor: Tenant;
beforeAll(async () => {
  stack = await startCounting({ gatherMs: 300 });
  poor = await stack.api.tenant({ creditNanoUsd: 1 });
  // Isolates know the catalogue from here on, and all that belongs to the beginning is in D1.
  await ask(stack.tenant, "the first", 200);
  await settled(stack.tenant);
  await settled(poor);
});
afterAll(() => stack[Symbol.asyncDispose]());

async function ask(tenant: Tenant, what: string, status: number, more: object = {}): Promise<void> {
  const response = await stack.api.post(tenant, {
    model: "deepseek-chat",
    max_tokens: 64,
    messages: [{ role: "user", content: what }],
    ...more,
  });
  await response.text();
  expect(response.status).toBe(status);
}

/** Until every hold is closed and D1 has every event. */
async function settled(tenant: Tenant): Promise<void> {
  await eventually("the books to close", 30_000, async () => {
    const { holdsOpen, holdsPending, eventsUnprojected } = await stack.api.status(tenant);
    return holdsOpen + holdsPending + eventsUnprojected === 0 ? true : undefined;
  });
}

/** What is counted while `work` is done a few times, one after another, until nothing is left to do. */
async function countsOf(work: (time: number) => Promise<void>): Promise<Counts> {
  const { counts } = await stack.during(async () => {
    for (let time = 0; time < TIMES; time++) {
      await work(time);
      // Each is settled in a turn of its own: a shared one would save rows and make the number a matter of luck.
      await eventually("its hold to close", 30_000, async () => {
        const { holdsOpen, holdsPending } = await stack.api.status(stack.tenant);
        return holdsOpen + holdsPending === 0 ? true : undefined;
      });
    }
    await settled(stack.tenant);
  });
  return counts;
}

function of(counts: Counts, name: string): number {
  return counts[name] ?? 0;
}

/** And at most one more: the newest events become a row of their own, now and then. */
function expectRows(counts: Counts, rows: number): void {
  expect(of(counts, "account.rowsWritten")).toBeGreaterThanOrEqual(rows);
  expect(of(counts, "account.rowsWritten")).toBeLessThanOrEqual(rows + 1);
}

test("an answered stream writes two rows in the object and one, with its batch's share of two, in D1", async () => {
  const sampled = { stream: true, temperature: 1 };
  const counts = await countsOf((time) => ask(stack.tenant, `stream ${time}`, 200, sampled));
  // Its hold, over one that has gone; and the account's row, with the event.
  expectRows(counts, 2 * TIMES);
  expect(of(counts, "account.alarmsSet")).toBeLessThanOrEqual(1);
  const messages = of(counts, "queue.messages");
  expect(messages).toBeGreaterThanOrEqual(1);
  expect(messages).toBeLessThanOrEqual(TIMES);
  expect(of(counts, "queue.operations")).toBe(3 * messages);
  expect(of(counts, "d1.rowsWritten")).toBeLessThanOrEqual(TIMES + 2 * messages);
  expect(of(counts, "kv.writes")).toBe(0);
});

test("an answer out of the isolate's memory writes one row and asks no node, no farther cache and no queue more than its share", async () => {
  const same = { temperature: 0 };
  // A miss, a sight that is worth writing further out, and what comes after.
  for (let sight = 0; sight < 3; sight++) await ask(stack.tenant, "always the same", 200, same);
  await settled(stack.tenant);
  const counts = await countsOf(() => ask(stack.tenant, "always the same", 200, same));
  expectRows(counts, TIMES);
  expect(of(counts, "kv.writes")).toBe(0);
  // The catalogue's snapshot is looked after now and then.
  expect(of(counts, "kv.reads")).toBeLessThanOrEqual(1);
  expect(of(counts, "queue.messages")).toBeLessThanOrEqual(TIMES);
});

test("a refusal for want of money is one call of the object, and not a row anywhere", async () => {
  const counts = await countsOf(() => ask(poor, "hello", 402, { temperature: 1 }));
  expect(of(counts, "worker.calls")).toBe(TIMES);
  expect(of(counts, "account.rowsWritten")).toBe(0);
  expect(of(counts, "account.alarmsSet")).toBe(0);
  expect(of(counts, "queue.messages")).toBe(0);
  expect(of(counts, "d1.rowsWritten")).toBe(0);
  expect(of(counts, "kv.writes")).toBe(0);
});

test("a garbage key is a request of the Worker and nothing else", async () => {
  const garbage = { ...stack.tenant, apiKey: `${stack.tenant.apiKey.slice(0, -4)}zzzz` };
  const before = await countsOf(() => Promise.resolve());
  const counts = await countsOf(() => ask(garbage, "hello", 401));
  expect(of(counts, "worker.calls")).toBe(TIMES);
  for (const name of ["account.rowsWritten", "queue.messages", "d1.rowsWritten", "kv.writes"])
    expect([name, of(counts, name)]).toEqual([name, 0]);
  // Only this test's own questions for the account's state.
  expect(of(counts, "account.requests")).toBeLessThanOrEqual(of(before, "account.requests"));
});
