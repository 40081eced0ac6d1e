/**
 * Slots that are used again, and a log whose newest events are in the account's row: whatever happens, and wherever a crash
 * cuts it off, the rows tell who is there and what was written, and nothing else.
 */
import fc from "fast-check";
import { evictDurableObject } from "cloudflare:test";
import { describe, test } from "vitest";
import { TAIL_EVENTS_MAX } from "../../../src/account/event-log.ts";
import { FREE_SLOTS_MAX, HoldTable } from "../../../src/account/hold-table.ts";
import { newHold, type Hold } from "../../../src/account/facts.ts";
import { Sql } from "../../../src/account/sql.ts";
import {
  billsOf,
  call,
  COST,
  emptyTables,
  eventsOf,
  HOLD,
  newRequest,
  openAccount,
  receipt,
  wokenStore,
  word,
} from "./support.ts";

const RUNS = 100;
const BALANCE = 1_000 * HOLD;

type Deed = { readonly kind: "admit" | "close" | "reopen" | "change" | "crash"; readonly which: number };
const deed: fc.Arbitrary<Deed> = fc.record({
  kind: fc.constantFrom("admit", "admit", "close", "close", "reopen", "change", "crash"),
  which: fc.nat(20),
});

describe("the slots of an account's holds", () => {
  test("hold exactly the requests that are there, through any turns and any crash after them", async ({
    expect,
  }) => {
    const account = await openAccount(0);
    await account.inside((_, state) => {
      const sql = new Sql(state.storage.sql);
      /** Turns of a few deeds each; what the account's row says is written where a slot was freed, or by the way. */
      fc.assert(
        fc.property(
          fc.array(fc.record({ deeds: fc.array(deed, { maxLength: 6 }), byTheWay: fc.boolean() }), {
            maxLength: 30,
          }),
          (turns) => {
            emptyTables(state);
            let said = { freeSlots: [] as number[], admissions: 0 };
            let table = new HoldTable(sql, said);
            let [admissions, reopened, most] = [0, 0, 0];
            const there = new Map<string, Hold>();
            const gone: Hold[] = [];
            const known = (which: number): Hold | undefined => [...there.values()][which % there.size];
            for (const { deeds, byTheWay } of turns) {
              for (const { kind, which } of deeds) {
                if (kind === "admit") {
                  const hold = holdOf(account.ask({ request: newRequest() }), ++admissions);
                  there.set(hold.request, hold);
                  table.add(hold);
                  most = Math.max(most, there.size);
                }
                const hold = known(which);
                if (kind === "close" && hold !== undefined) {
                  there.delete(hold.request);
                  gone.push(hold);
                  table.free(hold.request);
                }
                if (kind === "change" && hold !== undefined) {
                  const changed = { ...hold, heldNanoUsd: which };
                  there.set(hold.request, changed);
                  table.save(changed);
                }
                const old =
                  kind === "reopen" ? gone.splice(which % Math.max(1, gone.length), 1)[0] : undefined;
                if (old !== undefined) {
                  reopened += 1;
                  there.set(old.request, old);
                  table.save(old);
                }
              }
              if (table.isChanged || byTheWay)
                said = { freeSlots: JSON.parse(table.print()) as number[], admissions };
              if (deeds.at(-1)?.kind === "crash") table = new HoldTable(sql, said);
              const woken = new HoldTable(sql, said);
              for (const one of [table, woken]) {
                expect(byRequest(one.due(Number.MAX_SAFE_INTEGER, 1_000))).toEqual(
                  byRequest([...there.values()]),
                );
                expect(one.count().open).toBe(there.size);
              }
            }
            // Only who is opened again never takes a slot that was used.
            const { rows } = state.storage.sql
              .exec<{ rows: number }>("SELECT count(*) AS rows FROM slots")
              .one();
            expect(rows).toBeLessThanOrEqual(most + reopened);
          },
        ),
        { numRuns: RUNS },
      );
      emptyTables(state);
    });
  });

  test("are used again: three hundred answers, ten at a time, are ten rows", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    for (let round = 0; round < 30; round++) {
      const requests = await Promise.all(Array.from({ length: 10 }, () => account.admit()));
      await account.settle(...requests.map((request) => receipt(request, "stop")));
    }
    const rows = await account.inside(
      (_, { storage }) => storage.sql.exec("SELECT count(*) AS rows FROM slots").one()["rows"],
    );
    expect(rows).toBe(10);
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: BALANCE - 300 * COST,
      heldNanoUsd: 0,
      holdsOpen: 0,
    });
  });

  test("that are more than the account's row remembers go, as any row goes", async ({ expect }) => {
    const account = await openAccount(0);
    await account.inside((_, state) => {
      emptyTables(state);
      const table = new HoldTable(new Sql(state.storage.sql), { freeSlots: [], admissions: 0 });
      const holds = Array.from({ length: FREE_SLOTS_MAX + 5 }, (_, at) => holdOf(account.ask(), at + 1));
      for (const hold of holds) table.add(hold);
      for (const { request } of holds) table.free(request);
      const freeSlots = JSON.parse(table.print()) as number[];
      const { rows } = state.storage.sql.exec<{ rows: number }>("SELECT count(*) AS rows FROM slots").one();
      expect([freeSlots.length, rows]).toEqual([FREE_SLOTS_MAX, FREE_SLOTS_MAX]);
      expect(
        new HoldTable(new Sql(state.storage.sql), { freeSlots, admissions: holds.length }).count(),
      ).toEqual({
        open: 0,
        waiting: 0,
      });
      emptyTables(state);
    });
  });

  test("an answer that is opened again after its slot was taken is found after a restart, and billed once", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const request = await account.admit();
    await account.settle(receipt(request, "stop"));
    const other = await account.admit();
    const lost = word(account.id, request, "node_lost", { seenTo: 20, prompt: 50, next: call(1) });
    expect(await account.object.word(lost)).toEqual({ state: "open" });
    await evictDurableObject(account.object);
    expect(await account.object.status()).toMatchObject({ holdsOpen: 2 });
    await account.settle(receipt(request, "stop", { ordinal: 1, from: 20, to: 40 }), receipt(other, "stop"));
    expect(await billsOf(account)).toMatchObject([
      { revision: 0, tokens: 30, charged: COST },
      { revision: 1, tokens: 40, charged: 10_000 },
      { revision: 0, tokens: 30, charged: COST },
    ]);
    await evictDurableObject(account.object);
    expect(await account.object.status()).toMatchObject({ holdsOpen: 0, heldNanoUsd: 0 });
  });
});

describe("the log", () => {
  const step = fc.record({
    events: fc.integer({ min: 0, max: 2 * TAIL_EVENTS_MAX }),
    laterMs: fc.constantFrom(0, 1_000, 200_000),
    confirmed: fc.double({ min: 0, max: 1, noNaN: true }),
    crash: fc.boolean(),
  });

  test("tells every event that D1 has not confirmed, in order and once, whatever was written over", async ({
    expect,
  }) => {
    const account = await openAccount(0);
    await account.inside((_, state) => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
          emptyTables(state);
          let { log } = wokenStore(state);
          let [seq, confirmed, nowMs] = [0, 0, 0];
          for (const { events, laterMs, confirmed: part, crash } of steps) {
            nowMs += laterMs;
            for (let at = 0; at < events; at++) {
              seq += 1;
              log.append(
                { kind: "credit", seq, creditId: `c${seq}`, amountNanoUsd: seq, note: "", atMs: nowMs },
                nowMs,
                null,
              );
            }
            state.storage.sql.exec("UPDATE account SET tail = ?", log.print());
            if (crash) ({ log } = wokenStore(state));
            confirmed = Math.max(confirmed, Math.floor(part * seq));
            log.confirm(confirmed);
            const unsent = Array.from({ length: seq - confirmed }, (_, at) => confirmed + at + 1);
            expect(log.after(confirmed, 10_000).map((event) => event.seq)).toEqual(unsent);
            expect(log.moneyAfter(confirmed)).toEqual({
              count: unsent.length,
              moneyNanoUsd: unsent.reduce((sum, one) => sum + one, 0),
            });
          }
        }),
        { numRuns: RUNS },
      );
      emptyTables(state);
    });
  });

  test("finds a request's last state in the turn that closed it, in the tail and in a row, and not after it may go", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const first = await account.admit();
    await account.settle(receipt(first, "stop"));
    const recalled = (): Promise<string | undefined> =>
      account.inside((_, state) => wokenStore(state).log.recall(first, 1_000)?.request);
    expect(await recalled()).toBe(first);
    for (let nr = 0; nr < TAIL_EVENTS_MAX; nr++) await account.settle(receipt(await account.admit(), "stop"));
    const rows = await account.inside((_, { storage }) => storage.sql.exec("SELECT * FROM log").toArray());
    expect(rows).toHaveLength(1);
    expect(await recalled()).toBe(first);
    expect((await eventsOf(account)).map(({ seq }) => seq)).toEqual(
      Array.from({ length: TAIL_EVENTS_MAX + 2 }, (_, at) => at + 1),
    );
    // A receipt and the word that overtook it, in one turn: neither is lost.
    const request = await account.admit();
    const lost = word(account.id, request, "client_gone", { seenTo: 10, prompt: 50 });
    await Promise.all([account.settle(receipt(request, "stop")), account.object.word(lost)]);
    expect(await account.object.status()).toMatchObject({ holdsOpen: 0, heldNanoUsd: 0 });
  });
});

describe("an object of an older build", () => {
  test("wakes with its open holds and its log: what was open is billed, what was unsent is sent", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const [open, over] = [await account.admit(), await account.admit()];
    await account.settle(receipt(over, "stop"));
    await account.inside((_, { storage: { sql } }) => {
      sql.exec(
        `CREATE TABLE holds (request TEXT PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, held_nano_usd INTEGER NOT NULL,
           due_at_ms INTEGER NOT NULL, facts TEXT NOT NULL) STRICT, WITHOUT ROWID`,
      );
      sql.exec(
        "INSERT INTO holds SELECT request, key, state, held_nano_usd, due_at_ms, facts FROM slots WHERE request = ?",
        open,
      );
      sql.exec(
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, request TEXT, event TEXT NOT NULL, facts TEXT) STRICT",
      );
      sql.exec(
        `INSERT INTO events SELECT json_extract(e.value, '$.event.seq'), json_extract(e.value, '$.atMs'),
           json_extract(e.value, '$.event.request'), json_extract(e.value, '$.event'), json_extract(e.value, '$.facts')
         FROM account, json_each(account.tail) AS e`,
      );
      sql.exec("DROP TRIGGER keep");
      for (const table of ["slots", "log"]) sql.exec(`DROP TABLE ${table}`);
      for (const column of ["free_slots", "tail"]) sql.exec(`ALTER TABLE account DROP COLUMN ${column}`);
    });
    await evictDurableObject(account.object);
    expect(await account.object.status()).toMatchObject({ holdsOpen: 1, heldNanoUsd: HOLD });
    // A word for what is over finds its last state, and a second receipt changes nothing.
    const gone = word(account.id, over, "client_gone", { seenTo: 10, prompt: 50 });
    expect(await account.object.word(gone)).toEqual({ state: "closed" });
    await account.settle(receipt(open, "stop"), receipt(over, "stop"));
    expect((await eventsOf(account)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: BALANCE - 2 * COST,
      heldNanoUsd: 0,
      holdsOpen: 0,
    });
  });

  test("that was awake in between has lost no event and no hold, and brought back none that was over", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const [open, over] = [await account.admit(), await account.admit()];
    await account.settle(receipt(over, "stop"));
    const meanwhile = newRequest();
    await account.inside((_, { storage: { sql } }) => {
      sql.exec(
        `CREATE TABLE holds (request TEXT PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, held_nano_usd INTEGER NOT NULL,
           due_at_ms INTEGER NOT NULL, facts TEXT NOT NULL) STRICT, WITHOUT ROWID`,
      );
      sql.exec(
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, request TEXT, event TEXT NOT NULL, facts TEXT) STRICT",
      );
      sql.exec(
        "INSERT INTO holds SELECT ?, key, state, held_nano_usd, due_at_ms, facts FROM slots WHERE request = ?",
        meanwhile,
        open,
      );
      const credit = { kind: "credit", seq: 3, creditId: "then", amountNanoUsd: HOLD, note: "", atMs: 0 };
      sql.exec("INSERT INTO events VALUES (3, 0, NULL, ?, NULL)", JSON.stringify(credit));
      // Twice: such a build writes the row in each of its turns.
      for (let turn = 0; turn < 2; turn++)
        sql.exec(
          `INSERT OR REPLACE INTO account (id, account, name, suspended, cache_salt, balance_nano_usd, counters, last_seq, applied_seq)
           SELECT 1, account, name, suspended, cache_salt, ?, counters, 3, applied_seq FROM account`,
          BALANCE - COST + HOLD,
        );
    });
    await evictDurableObject(account.object);
    expect(await account.object.status()).toMatchObject({ holdsOpen: 2, heldNanoUsd: 2 * HOLD });
    const gone = word(account.id, over, "client_gone", { seenTo: 10, prompt: 50 });
    expect(await account.object.word(gone)).toEqual({ state: "closed" });
    await account.settle(receipt(open, "stop"), receipt(meanwhile, "stop"), receipt(over, "stop"));
    expect((await eventsOf(account)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: BALANCE + HOLD - 3 * COST,
      heldNanoUsd: 0,
      holdsOpen: 0,
    });
  });
});

function holdOf(ask: Parameters<typeof newHold>[0], admission: number): Hold {
  const times = { admittedAtMs: 0, issueByMs: 0, lapseAtMs: 1_000 };
  return newHold(ask, { outputCeiling: 100, heldNanoUsd: HOLD, tokens: 200, admission, ...times });
}

function byRequest(holds: readonly Hold[]): readonly Hold[] {
  return holds.toSorted((a, b) => (a.request < b.request ? -1 : 1));
}
