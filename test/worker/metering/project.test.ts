/** From the account's log to D1 and back: nothing lost, nothing twice, whatever the queue does. */
import type { AccountEvent, EventBatch } from "@sluice/protocol/account-log";
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterEach, describe, test, vi } from "vitest";
import { parseClocks } from "../../../src/account/clocks.ts";
import type { Env } from "../../../src/core/env.ts";
import { readApplied } from "../../../src/db/ledger.ts";
import { usageOf } from "../../../src/db/usage.ts";
import { DEAD_LETTERS } from "../../../src/metering/project.ts";
import { balanceFromLedger } from "./books.ts";
import { batchOf, credit, deliver, usage } from "./support.ts";
import { COST, eventsOf, HOLD, openAccount, receipt, type Account } from "../account/support.ts";

const CLOCKS = parseClocks({});
/** The real queue holds a message for a second, and D1 is quick. */
const PROJECTED_WITHIN_MS = 15_000;

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function rowsOf(
  account: string,
): Promise<{ usage: number; ledger: number; through: number; sum: number }> {
  const [row] = (
    await env.DB.prepare(
      `SELECT (SELECT count(*) FROM usage_events WHERE account = ?1) AS usage,
              (SELECT count(*) FROM ledger_entries WHERE account = ?1) AS ledger`,
    )
      .bind(account)
      .all<{ usage: number; ledger: number }>()
  ).results;
  const through = (await readApplied(env, [account])).get(account) ?? 0;
  return {
    usage: row?.usage ?? 0,
    ledger: row?.ledger ?? 0,
    through,
    sum: await balanceFromLedger(account),
  };
}

async function unopened(): Promise<string> {
  return (await openAccount(0)).id;
}

describe("the consumer of events", () => {
  test("writes a row per revision, one entry per batch of usage and one per credit", async ({ expect }) => {
    const account = await unopened();
    const first = usage(2, 30);
    const events = [credit(1, 1_000), first, usage(3, 12)];
    expect((await deliver([batchOf(account, events)])).acked).toHaveLength(1);
    expect(await rowsOf(account)).toEqual({ usage: 2, ledger: 2, through: 3, sum: 958 });
    const correction = usage(4, -5, { request: first.request, revision: 1, costNanoUsd: 25 });
    await deliver([batchOf(account, [correction])]);
    expect(await rowsOf(account)).toEqual({ usage: 3, ledger: 3, through: 4, sum: 963 });
    const [before, after] = await usageOf(env, account, first.request);
    expect(before).toMatchObject({ revision: 0, stream: true, costNanoUsd: 30, completionTokens: 7 });
    expect(JSON.parse(before?.attempts ?? "")).toEqual(first.attempts);
    expect(after).toMatchObject({ revision: 1, costNanoUsd: 25, chargedNanoUsd: -5 });
  });

  test("takes a batch that begins beyond what D1 has later, and not before", async ({ expect }) => {
    const account = await unopened();
    const late = await deliver([batchOf(account, [usage(2, 1)])]);
    expect([late.acked.length, late.retried.length]).toEqual([0, 1]);
    expect(await rowsOf(account)).toMatchObject({ usage: 0, through: 0 });
    await deliver([batchOf(account, [usage(1, 1)])]);
    await deliver([batchOf(account, [usage(2, 1)])]);
    expect(await rowsOf(account)).toMatchObject({ usage: 2, through: 2 });
  });

  test("changes nothing when a batch comes twice, cut differently, or twice at the same moment", async ({
    expect,
  }) => {
    const account = await unopened();
    const events = [credit(1, 100), usage(2, 1), usage(3, 2), usage(4, 4)];
    await Promise.all([
      deliver([batchOf(account, events.slice(0, 3))]),
      deliver([batchOf(account, events.slice(0, 2))]),
      deliver([batchOf(account, events.slice(0, 3))]),
    ]);
    await deliver([batchOf(account, events.slice(1)), batchOf(account, events)]);
    expect(await rowsOf(account)).toMatchObject({ usage: 3, through: 4, sum: 93 });
  });

  test("ends with the same sum, however the queue repeats, cuts and reorders", async ({ expect }) => {
    const log = Array.from({ length: 12 }, (_, at) => usage(at + 1, at + 1));
    const piece = fc
      .tuple(fc.integer({ min: 0, max: 11 }), fc.integer({ min: 1, max: 12 }))
      .map(([from, size]) => log.slice(from, from + size));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(piece, { minLength: 1, maxLength: 4 }), { maxLength: 6 }),
        async (queue) => {
          const account = await unopened();
          for (const pieces of queue) await deliver(pieces.map((events) => batchOf(account, events)));
          const { usage, through, sum } = await rowsOf(account);
          expect(usage).toBe(through);
          expect(sum + (through * (through + 1)) / 2).toBe(0);
          await deliver([batchOf(account, log)]);
          expect(await rowsOf(account)).toMatchObject({ usage: 12, through: 12, sum: -78 });
        },
      ),
      { numRuns: 8 },
    );
  });

  test("brings every row of a flush with more keys than fit into any list of a hundred", async ({
    expect,
  }) => {
    const account = await unopened();
    const keys = Array.from({ length: 250 }, (_, at) => `key_${String(at).padStart(10, "0")}`);
    const log = keys.map((key, at) => usage(at + 1, 1, { key }));
    const messages = [0, 100, 200].map((from) => batchOf(account, log.slice(from, from + 100)));
    await deliver(messages);
    expect(await rowsOf(account)).toMatchObject({ usage: 250, through: 250, sum: -250 });
    const { results } = await env.DB.prepare("select key from rollups where account = ? order by key")
      .bind(account)
      .all();
    expect(results.map(({ key }) => key)).toEqual(keys);
  });

  test("retries what D1 refuses, and one account's trouble is not another's", async ({ expect }) => {
    const [good, bad] = [await unopened(), await unopened()];
    const broken = {
      ...env,
      DB: new Proxy(env.DB, {
        get: (db, name) => {
          const value: unknown = Reflect.get(db, name);
          return typeof value === "function"
            ? name === "batch"
              ? () => Promise.reject(new Error("D1 is away"))
              : (value.bind(db) as unknown)
            : value;
        },
      }),
    };
    const refused = await deliver([batchOf(bad, [usage(1, 1)])], "sluice-events", broken);
    expect(refused.retried).toHaveLength(1);
    expect((await deliver([batchOf(good, [usage(1, 1)])])).acked).toHaveLength(1);
    expect(await rowsOf(bad)).toMatchObject({ through: 0 });
  });

  test("drops what it cannot read, and buries the dead: the object sends both again", async ({ expect }) => {
    const account = await unopened();
    const unreadable = { v: 99, account } as unknown as EventBatch;
    expect((await deliver([unreadable])).acked).toHaveLength(1);
    expect((await deliver([batchOf(account, [usage(1, 1)])], DEAD_LETTERS)).acked).toHaveLength(1);
    expect(await rowsOf(account)).toMatchObject({ usage: 0, through: 0 });
  });

  test("costs three rows in D1 for one request, and two more for each that shares its batch", async ({
    expect,
  }) => {
    const account = await unopened();
    const written = async (events: readonly AccountEvent[]): Promise<number> => {
      let rows = 0;
      const counting = {
        ...env,
        DB: new Proxy(env.DB, {
          get: (db, name) => {
            if (name !== "batch") {
              const value: unknown = Reflect.get(db, name);
              return typeof value === "function" ? (value.bind(db) as unknown) : value;
            }
            return async (statements: D1PreparedStatement[]) => {
              const results = await db.batch(statements);
              for (const { meta } of results) rows += meta.rows_written;
              return results;
            };
          },
        }),
      };
      await deliver([batchOf(account, events)], "sluice-events", counting);
      return rows;
    };
    expect(await written([usage(1, 1)])).toBe(3);
    expect(await written([usage(2, 1), usage(3, 1), usage(4, 1)])).toBe(5);
  });
});

describe("from the object to D1", () => {
  async function projected(account: Account): Promise<void> {
    await vi.waitFor(
      async () => {
        const status = await account.object.status();
        if (status === null || status.eventsUnprojected > 0) throw new Error("not projected yet");
      },
      { timeout: PROJECTED_WITHIN_MS, interval: 50 },
    );
  }

  test("a request's bill arrives through the real queue, and the ledger's sum is the balance", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    const request = await account.admit();
    await account.settle(receipt(request, "stop"));
    await projected(account);
    expect(await usageOf(env, account.id, request)).toMatchObject([
      { revision: 0, certainty: "exact", costNanoUsd: COST, completionTokens: 30 },
    ]);
    const status = await account.object.status();
    expect(await balanceFromLedger(account.id)).toBe(status?.balanceNanoUsd);
  });

  test("what a queue forgot is sent again by the alarm, and once confirmed it makes room", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    await projected(account);
    // A queue that takes a message and then dies with it.
    const lost = await account.inside((object) => {
      const { EVENTS } = (object as unknown as { env: Env }).env;
      return vi.spyOn(EVENTS, "send").mockImplementationOnce(async () => undefined as never);
    });
    const request = await account.admit();
    await account.settle(receipt(request, "stop"));
    await vi.waitFor(() => expect(lost).toHaveBeenCalledOnce(), { timeout: PROJECTED_WITHIN_MS });
    expect(await account.object.status()).toMatchObject({ eventsUnprojected: 1 });
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + CLOCKS.resendMs + 1 });
    await runDurableObjectAlarm(account.object);
    await projected(account);
    expect(await usageOf(env, account.id, request)).toHaveLength(1);
    vi.setSystemTime(Date.now() + CLOCKS.logKeepMs + 1);
    await account.settle(receipt(await account.admit(), "stop"));
    // D1 has the others, and nobody needs them any more.
    expect((await eventsOf(account)).map(({ seq }) => seq)).toEqual([3]);
  });
});
