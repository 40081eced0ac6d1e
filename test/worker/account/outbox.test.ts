/** The sending of events: in order, in messages a queue takes, and again where nothing comes back. */
import type { EventBatch } from "@sluice/protocol/account-log";
import { describe, test } from "vitest";
import { Outbox } from "../../../src/account/outbox.ts";
import { Store } from "../../../src/account/store.ts";
import { openAccount } from "./support.ts";

const RESEND_MS = 60_000;
const LOG_KEEP_MS = 120_000;

/** A log of this many credits, an outbox on it, and a queue that writes down what it gets. */
async function withOutbox(
  events: number,
  note: string,
  look: (
    outbox: { send(applied: number, nowMs: number): Promise<readonly (readonly number[])[]> },
    more: (to: number) => void,
  ) => Promise<void>,
): Promise<void> {
  const account = await openAccount(0);
  await account.inside(async (_, state) => {
    const store = new Store(state.storage.sql, LOG_KEEP_MS);
    let last = 0;
    const more = (to: number): void => {
      for (; last < to; last++) {
        const seq = last + 1;
        const event = { kind: "credit", seq, creditId: `c${seq}`, amountNanoUsd: 1, note, atMs: 0 } as const;
        store.appendEvent(event, 0, null);
      }
    };
    more(events);
    let got: number[][] = [];
    const queue = {
      send: async (batch: EventBatch) => {
        got.push(batch.events.map(({ seq }) => seq));
      },
    } as unknown as Queue<EventBatch>;
    const outbox = new Outbox(queue);
    await look(
      {
        send: async (applied, nowMs) => {
          got = [];
          await outbox.send({ account: account.id, store, appliedSeq: applied }, nowMs, RESEND_MS);
          return got;
        },
      },
      more,
    );
    state.storage.sql.exec("DELETE FROM events");
  });
}

describe("the outbox", () => {
  test("sends each event once, in messages of at most a hundred", async ({ expect }) => {
    await withOutbox(250, "", async (outbox) => {
      const sent = await outbox.send(0, 0);
      expect(sent.map((seqs) => seqs.length)).toEqual([100, 100, 50]);
      expect(sent.flat()).toEqual(Array.from({ length: 250 }, (_, at) => at + 1));
      expect(await outbox.send(0, 1_000)).toEqual([]);
    });
  });

  test("keeps a message below what a queue takes", async ({ expect }) => {
    await withOutbox(30, "x".repeat(9_000), async (outbox) => {
      expect((await outbox.send(0, 0)).map((seqs) => seqs.length)).toEqual([11, 11, 8]);
    });
  });

  test("sends again from what D1 has, once that has not moved for a while, though new events keep coming", async ({
    expect,
  }) => {
    await withOutbox(2, "", async (outbox, more) => {
      expect(await outbox.send(0, 0)).toEqual([[1, 2]]);
      for (let second = 1; second < 60; second++) {
        more(2 + second);
        expect(await outbox.send(0, second * 1_000)).toEqual([[2 + second]]);
      }
      const again = await outbox.send(0, RESEND_MS);
      expect(again.flat()[0]).toBe(1);
      expect(again.flat()).toHaveLength(61);
    });
  });

  test("waits anew whenever D1 comes further", async ({ expect }) => {
    await withOutbox(3, "", async (outbox) => {
      await outbox.send(0, 0);
      expect(await outbox.send(2, 50_000)).toEqual([]);
      expect(await outbox.send(2, 100_000)).toEqual([]);
      expect(await outbox.send(2, 110_000)).toEqual([[3]]);
    });
  });
});

test("a log that was longer once is cut to what may lie and wait to be written over", async ({ expect }) => {
  const account = await openAccount(0);
  await account.inside((_, state) => {
    const { sql } = state.storage;
    sql.exec("DELETE FROM events");
    const store = new Store(sql, LOG_KEEP_MS);
    const range = (): unknown =>
      sql.exec("SELECT min(seq) AS first, max(seq) AS last, count(*) AS n FROM events").one();
    for (let seq = 1; seq <= 1_500; seq++)
      store.appendEvent(
        { kind: "credit", seq, creditId: `c${seq}`, amountNanoUsd: 1, note: "", atMs: 0 },
        0,
        null,
      );
    store.dropEvents(LOG_KEEP_MS);
    // Nothing is confirmed: nothing may go.
    expect(range()).toEqual({ first: 1, last: 1_500, n: 1_500 });
    store.confirm(1_400);
    store.dropEvents(LOG_KEEP_MS - 1);
    expect(range()).toEqual({ first: 1, last: 1_500, n: 1_500 });
    store.dropEvents(LOG_KEEP_MS);
    expect(range()).toEqual({ first: 401, last: 1_500, n: 1_100 });
    sql.exec("DELETE FROM events");
  });
});
