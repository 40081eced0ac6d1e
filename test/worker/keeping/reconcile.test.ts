/** The books are compared, what can be mended is mended, and the rest is told and left alone. */
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { HOUR_MS, rollupsOf } from "../../../src/db/rollups.ts";
import { reconcile, reconcileStep } from "../../../src/keeping/reconcile.ts";
import { HOLD, openAccount, receipt, type Account } from "../account/support.ts";
import { ask } from "../admin/support.ts";

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
    const range = { fromMs: 0, toMs: Date.now() + HOUR_MS };
    const before = await rollupsOf(env, account.id, range, 10);
    await run("update rollups set cost_nano_usd = cost_nano_usd + 1 where account = ?", account.id);
    expect((await compare(account)).differences).toMatchObject([{ what: "rollups", repaired: true }]);
    expect(await rollupsOf(env, account.id, range, 10)).toEqual(before);
    await run("delete from rollups where account = ?", account.id);
    expect((await compare(account)).differences).toMatchObject([{ what: "rollups", repaired: true }]);
    expect(await rollupsOf(env, account.id, range, 10)).toEqual(before);
    expect((await compare(account)).differences).toEqual([]);
  });

  test("that D1 has lost are brought back by the object, while it still has them", async ({ expect }) => {
    const account = await billed();
    const before = await rollupsOf(env, account.id, { fromMs: 0, toMs: Date.now() + HOUR_MS }, 10);
    for (const table of ["ledger_entries", "usage_events", "rollups"])
      await run(`delete from ${table} where account = ?`, account.id);
    expect((await compare(account)).differences).toMatchObject([
      { what: "d1_behind", found: 0, repaired: true },
    ]);
    expect((await compare(account, { whole: true })).differences).toEqual([]);
    expect(await rollupsOf(env, account.id, { fromMs: 0, toMs: Date.now() + HOUR_MS }, 10)).toEqual(before);
  });

  test("that neither has any more are told, and nothing is made up", async ({ expect }) => {
    const account = await billed();
    for (const table of ["ledger_entries", "usage_events", "rollups"])
      await run(`delete from ${table} where account = ?`, account.id);
    await account.inside((_, state) => state.storage.sql.exec("delete from events where seq = 1").toArray());
    const { differences } = await compare(account);
    expect(differences).toMatchObject([
      { what: "events_lost", repaired: false },
      { what: "d1_behind", repaired: false },
    ]);
  });
});

test("cron goes over all accounts in steps, and differing books are an alert", async ({ expect }) => {
  const account = await billed();
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
