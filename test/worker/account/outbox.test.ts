/** The sending of events: in order, in messages a queue takes, and again where nothing comes back. */
import type { EventBatch } from "@sluice/protocol/account-log";
import { describe, test } from "vitest";
import { SPARE_ROWS_MAX, TAIL_EVENTS_MAX } from "../../../src/account/event-log.ts";
import { Outbox } from "../../../src/account/outbox.ts";
import { emptyTables, openAccount, wokenStore } from "./support.ts";

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
    const store = wokenStore(state, LOG_KEEP_MS);
    let last = 0;
    const more = (to: number): void => {
      for (; last < to; last++) {
        const seq = last + 1;
        const event = { kind: "credit", seq, creditId: `c${seq}`, amountNanoUsd: 1, note, atMs: 0 } as const;
        store.log.append(event, 0, null);
      }
    };
    more(events);
    let got: number[][] = [];
    const queue = {
      send: async (text: string) => {
        const { events } = JSON.parse(text) as EventBatch;
        got.push(events.map(({ seq }) => seq));
      },
    } as unknown as Queue<string>;
    const outbox = new Outbox(queue);
    await look(
      {
        send: async (applied, nowMs) => {
          got = [];
          await outbox.send(() => ({ account: account.id, store, appliedSeq: applied }), nowMs, RESEND_MS);
          return got;
        },
      },
      more,
    );
    emptyTables(state);
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
    emptyTables(state);
    const { log } = wokenStore(state, LOG_KEEP_MS);
    const rows = (): unknown =>
      state.storage.sql.exec("SELECT min(seq) AS first, max(seq) AS last, count(*) AS n FROM log").one();
    const inARow = TAIL_EVENTS_MAX + 1;
    for (let seq = 1; seq <= (SPARE_ROWS_MAX + 50) * inARow; seq++) {
      log.append({ kind: "credit", seq, creditId: `c${seq}`, amountNanoUsd: 1, note: "", atMs: 0 }, 0, null);
      if (seq % inARow === 0) log.print();
    }
    const all = { first: inARow, last: (SPARE_ROWS_MAX + 50) * inARow, n: SPARE_ROWS_MAX + 50 };
    log.trim(LOG_KEEP_MS);
    // Nothing is confirmed: nothing may go.
    expect(rows()).toEqual(all);
    log.confirm((SPARE_ROWS_MAX + 40) * inARow);
    log.trim(LOG_KEEP_MS - 1);
    expect(rows()).toEqual(all);
    log.trim(LOG_KEEP_MS);
    expect(rows()).toEqual({ ...all, first: 41 * inARow, n: SPARE_ROWS_MAX + 10 });
  });
});
