/** The books are compared, what can be mended is mended, and the rest is told and left alone. */
import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { HOUR_MS } from "../../../src/db/rollups.ts";
import { ENTRIES_MAX, saveCheckpoint } from "../../../src/db/reconcile.ts";
import { reconcile, reconcileStep } from "../../../src/keeping/reconcile.ts";
import { HOLD, openAccount, receipt, type Account } from "../account/support.ts";
import { ask } from "../admin/support.ts";
import { rollupsOf } from "../metering/books.ts";

const ASK = { whole: false, journals: 0 };
const PROJECTED_WITHIN_MS = 15_000;

async function projected(account: Account): Promise<void> {
  await vi.waitFor(
    async () => {
      const status = await account.object.status();
      if (status === null || status.eventsUnprojected > 0) throw new Error("not projected yet");
    },
    { timeout: PROJECTED_WITHIN_MS, interval: 50 },
  );
}

/** An account with two billed requests, all of it in D1. */
async function billed(): Promise<Account> {
  const account = await openAccount(10 * HOLD);
  for (let i = 0; i < 2; i++) await account.settle(receipt(await account.admit(), "stop"));
  await projected(account);
  return account;
}

async function compare(account: Account, more: Partial<typeof ASK> = {}) {
  const result = await reconcile(env, account.id, { ...ASK, ...more }, Date.now());
  if (result === undefined) throw new Error("no such account");
  return result;
}

function run(sql: string, ...values: unknown[]): Promise<unknown> {
  return env.DB.prepare(sql)
    .bind(...values)
    .run();
}

describe("the books of an account", () => {
  test("that are in order have no differences, and are not added up twice", async ({ expect }) => {
    const account = await billed();
    const first = await compare(account);
    const { balanceNanoUsd = 0, lastSeq } = (await account.object.status()) ?? {};
    expect(first).toMatchObject({
      differences: [],
      complete: true,
      throughSeq: lastSeq,
      balanceNanoUsd,
      ledgerNanoUsd: balanceNanoUsd,
    });
    await account.settle(receipt(await account.admit(), "stop"));
    await projected(account);
    expect((await compare(account)).differences).toEqual([]);
    expect((await compare(account, { whole: true })).differences).toEqual([]);
  });

  test("are remembered as compared up to the newest entry that was, and never up to less", async ({
    expect,
  }) => {
    const account = await billed();
    const checkpoint = () =>
      env.DB.prepare("select * from reconciled where account = ?").bind(account.id).first();
    const newest = await env.DB.prepare(
      "select max(seq) as through_seq, max(at_ms) as at_ms from ledger_entries where account = ?",
    )
      .bind(account.id)
      .first();
    // As a comparison long after: rows of requests that were closed in between are still asked for.
    await reconcile(env, account.id, ASK, Date.now() + 20 * 24 * HOUR_MS);
    const compared = await checkpoint();
    expect(compared).toMatchObject(newest ?? {});
    // As where a comparison from the beginning came less far than one before.
    const behind = { throughSeq: 1, ledgerNanoUsd: 10 * HOLD, atMs: 0 };
    await saveCheckpoint(env, account.id, behind);
    expect(await checkpoint()).toEqual(compared);
  });

  test("that D1 got between two looks at them are in order", async ({ expect }) => {
    const account = await billed();
    await account.settle(receipt(await account.admit(), "stop"));
    // The ledger is read, D1 is brought up to date, and then the object is asked.
    const late = async (seq: number) => {
      await projected(account);
      return account.object.logAfter(seq);
    };
    const ACCOUNTS = { idFromName: (name: string) => name, get: () => ({ logAfter: late }) };
    const between = { ...env, ACCOUNTS: ACCOUNTS as unknown as typeof env.ACCOUNTS };
    const result = await reconcile(between, account.id, ASK, Date.now());
    expect(result?.differences).toEqual([]);
  });

  test("are not compared with journals that may have been forgotten", async ({ expect }) => {
    const account = await billed();
    const asked = async (days: number) => {
      const nowMs = Date.now() + days * 24 * HOUR_MS;
      return (await reconcile(env, account.id, { ...ASK, journals: 5 }, nowMs))?.journals.asked;
    };
    expect([await asked(0), await asked(5), await asked(7)]).toEqual([2, 2, 0]);
  });

  test("while events are on their way, are in order all the same", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    await account.settle(receipt(await account.admit(), "stop"));
    expect((await compare(account)).differences).toEqual([]);
  });

  test("with another amount in the ledger, or a row of usage less, are told and left alone", async ({
    expect,
  }) => {
    const account = await billed();
    await run(
      "update ledger_entries set amount_nano_usd = amount_nano_usd + 5 where account = ? and seq = 1",
      account.id,
    );
    const wrong = await compare(account);
    expect(wrong.differences).toMatchObject([
      { what: "balance", expected: wrong.balanceNanoUsd, found: wrong.balanceNanoUsd + 5, repaired: false },
    ]);
    await run(
      "update ledger_entries set amount_nano_usd = amount_nano_usd - 5 where account = ? and seq = 1",
      account.id,
    );
    await run(
      "delete from usage_events where account = ? and seq = (select min(seq) from usage_events where account = ?1)",
      account.id,
    );
    expect((await compare(account)).differences.map(({ what }) => what)).toEqual(["usage", "rollups"]);
    expect((await compare(account)).differences.map(({ what }) => what)).toEqual(["usage"]);
  });

  test("with other rollups have them made anew from the rows", async ({ expect }) => {
    const account = await billed();
    const before = await rollupsOf(account.id);
    await run("update rollups set cost_nano_usd = cost_nano_usd + 1 where account = ?", account.id);
    expect((await compare(account)).differences).toMatchObject([{ what: "rollups", repaired: true }]);
    expect(await rollupsOf(account.id)).toEqual(before);
    await run("delete from rollups where account = ?", account.id);
    expect((await compare(account)).differences).toMatchObject([{ what: "rollups", repaired: true }]);
    expect(await rollupsOf(account.id)).toEqual(before);
    expect((await compare(account)).differences).toEqual([]);
  });

  test("that D1 has lost are brought back by the object, while it still has them", async ({ expect }) => {
    const account = await billed();
    const before = await rollupsOf(account.id);
    for (const table of ["ledger_entries", "usage_events", "rollups"])
      await run(`delete from ${table} where account = ?`, account.id);
    expect((await compare(account)).differences).toMatchObject([
      { what: "d1_behind", found: 0, repaired: true },
    ]);
    expect((await compare(account, { whole: true })).differences).toEqual([]);
    expect(await rollupsOf(account.id)).toEqual(before);
  });

  test("are compared from the beginning again where the sum that was remembered is wrong", async ({
    expect,
  }) => {
    const account = await billed();
    const { balanceNanoUsd, throughSeq } = await compare(account);
    const wrong = "update reconciled set ledger_nano_usd = ledger_nano_usd + 1 where account = ?";
    await run(wrong, account.id);
    expect((await compare(account)).differences).toMatchObject([
      { what: "balance", expected: balanceNanoUsd, found: balanceNanoUsd + 1, repaired: false },
    ]);
    // With nobody's help.
    expect(await compare(account)).toMatchObject({ differences: [], throughSeq });
    await run(wrong, account.id);
    expect((await compare(account, { whole: true })).differences).toEqual([]);
    expect((await compare(account)).differences).toEqual([]);
  });

  test("with a ledger longer than one call adds up are compared to its end, whatever differs on the way", async ({
    expect,
  }) => {
    const account = await billed();
    await compare(account);
    const last = ENTRIES_MAX + 10;
    await account.inside((_, { storage: { sql } }) =>
      sql.exec("update account set last_seq = ?1, applied_seq = ?1", last).toArray(),
    );
    await evictDurableObject(account.object);
    await run(
      `insert into ledger_entries with recursive n(seq) as (select 4 union all select seq + 1 from n where seq < ?2)
       select ?1, seq, 'credit', 0, 1, '', ?3 from n`,
      account.id,
      last,
      Date.now(),
    );
    await run("delete from usage_events where account = ? and seq = 2", account.id);
    const whole = await compare(account, { whole: true });
    expect(whole.complete).toBe(false);
    expect(whole.differences.map(({ what }) => what)).toContain("usage");
    const rest = await compare(account);
    expect(rest).toMatchObject({ complete: true, comparedSeq: last });
    expect(rest.differences.map(({ what }) => what)).not.toContain("balance");
  });

  test("that neither has any more are told, and nothing is made up", async ({ expect }) => {
    const account = await billed();
    for (const table of ["ledger_entries", "usage_events", "rollups"])
      await run(`delete from ${table} where account = ?`, account.id);
    await account.inside((_, { storage: { sql } }) =>
      sql.exec("update account set tail = json_remove(tail, '$[0]')").toArray(),
    );
    await evictDurableObject(account.object);
    await account.object.applied(3);
    const { differences } = await compare(account);
    expect(differences).toMatchObject([
      { what: "events_lost", repaired: false },
      { what: "d1_behind", repaired: false },
    ]);
  });
});

test("cron goes over all accounts in steps, past one that fails, and differing books are an alert", async ({
  expect,
}) => {
  const account = await billed();
  // No home that we know: nobody can be asked about it. The first of all.
  await run("insert into accounts (id, name, created_at_ms) values ('acc_0000_000000000000', 'x', 0)");
  await run("insert into accounts (id, name, created_at_ms) values (?, 'x', 0)", account.id);
  await run(
    "update ledger_entries set amount_nano_usd = amount_nano_usd + 5 where account = ? and seq = 1",
    account.id,
  );
  for (let step = 0; step < 3; step++) await reconcileStep(env, Date.now());
  const { body } = await ask("GET", "/alerts");
  const [alert] = body.alerts.filter((row: { subject: string }) => row.subject === account.id);
  expect(alert).toMatchObject({ kind: "books_differ", detail: expect.stringContaining("balance") });
  const asked = await ask("POST", "/reconcile", { account: account.id, journals: 0 });
  expect(asked.body.differences).toMatchObject([{ what: "balance" }]);
  expect((await ask("POST", "/reconcile", { account: "acc_any_zzzzzzzzzzzz" })).status).toBe(404);
  expect((await ask("POST", "/reconcile", { account: "x" })).status).toBe(400);
});
