/** What goes, when it goes, and that nothing else does; and how an account ends. */
import { ulid } from "@sluice/protocol/ids";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { accountObject } from "../../../src/core/env.ts";
import { BITE_ROWS } from "../../../src/db/retention.ts";
import { removeOld, retentionOf, TURNS_PER_STEP } from "../../../src/keeping/retention.ts";
import { HOLD, openAccount, receipt } from "../account/support.ts";
import { ask } from "../admin/support.ts";
import { batchOf, deliver, usage } from "../metering/support.ts";
import { admitted } from "../tenant/admitted.ts";
import { newCustomer } from "../tenant/support.ts";

const DAY_MS = 86_400_000;
const NOW_MS = 30_000 * DAY_MS;

async function count(table: string, account: string): Promise<number> {
  const row = await env.DB.prepare(`select count(*) as n from ${table} where account = ?`)
    .bind(account)
    .first<{ n: number }>();
  return row?.n ?? 0;
}

/** Requests of these ages, in days before NOW_MS, in the history of a listed account. */
async function accountUsed(ages: readonly number[]): Promise<string> {
  const account = (await openAccount(0)).id;
  await env.DB.prepare("insert into accounts (id, name, created_at_ms) values (?, 'x', 0)")
    .bind(account)
    .run();
  const events = ages.map((days, at) => {
    const admittedAtMs = NOW_MS - days * DAY_MS;
    const dice = new Uint8Array(16).map((_, i) => (at >> (5 * (15 - i))) & 31);
    return usage(at + 1, 1, { request: `req_${ulid(admittedAtMs, dice)}`, admittedAtMs });
  });
  for (let from = 0; from < events.length; from += 100)
    await deliver([batchOf(account, events.slice(from, from + 100))]);
  return account;
}

/** Steps until a round over all accounts has been made. */
async function steps(n = 5): Promise<void> {
  for (let i = 0; i < n; i++) await removeOld(env, NOW_MS);
}

describe("what is too old", () => {
  test("goes, and what is not stays: rows before rollups, the ledger not at all", async ({ expect }) => {
    const account = await accountUsed([1_200, 500, 401, 399, 0]);
    await steps();
    expect([
      await count("usage_events", account),
      await count("rollups", account),
      await count("ledger_entries", account),
    ]).toEqual([2, 4, 1]);
  });

  test("goes though another account has more of it than a step removes, and of that one a part goes each time", async ({
    expect,
  }) => {
    const large = "acc_any_000000000002";
    await env.DB.prepare("insert into accounts (id, name, created_at_ms) values (?, 'x', 0)")
      .bind(large)
      .run();
    await env.DB.prepare(
      `with recursive n(i) as (select 1 union all select i + 1 from n where i < ?2)
       insert into rollups select ?1, i, 'k', 'm', 'r', 0, 0, 0, 0, 0, 0, 0 from n`,
    )
      .bind(large, (TURNS_PER_STEP + 10) * BITE_ROWS)
      .run();
    const small = await accountUsed([500, 1]);
    // Among the step's accounts there are these two, whatever others there are.
    await env.DB.prepare(
      "insert or replace into chores values ('retention', 'acc_any_000000000001', 0)",
    ).run();
    await removeOld(env, NOW_MS);
    expect(await count("usage_events", small)).toBe(1);
    const left = await count("rollups", large);
    expect(left).toBeGreaterThan(0);
    await steps(2);
    expect(await count("rollups", large)).toBe(0);
  });

  test("of alerts and audit goes by their own times", async ({ expect }) => {
    const day = (days: number): string => new Date(NOW_MS - days * DAY_MS).toISOString().slice(0, 10);
    for (const days of [10, 89, 92])
      await env.DB.prepare("insert into alerts values (?, 'k', 's', '', 1, 0, 0, null)")
        .bind(`${day(days)}/k/s`)
        .run();
    for (const days of [10, 729, 731])
      await env.DB.prepare("insert into audit values (?, 0, 'retention-test', '', '', 200)")
        .bind(ulid(NOW_MS - days * DAY_MS, new Uint8Array(16)))
        .run();
    await removeOld(env, NOW_MS);
    const left = await env.DB.prepare(
      "select (select count(*) from alerts where kind = 'k') as alerts, (select count(*) from audit where actor = 'retention-test') as audit",
    ).first();
    expect(left).toEqual({ alerts: 2, audit: 2 });
  });

  test("is what the deployment says; where that cannot be read, nothing is", async ({ expect }) => {
    expect(retentionOf(undefined)).toMatchObject({ usage: 400, alerts: 90 });
    expect(retentionOf('{"usage":90}')).toMatchObject({ usage: 90, audit: 730 });
    for (const text of ["{", '{"usage":1}', '{"useage":90}', '{"usage":"90"}']) {
      expect(retentionOf(text)).toBeUndefined();
      const account = await accountUsed([500]);
      await removeOld({ ...env, SLUICE_RETENTION_DAYS: text }, NOW_MS);
      expect(await count("usage_events", account)).toBe(1);
    }
  });
});

describe("an account that is deleted", () => {
  test("starts nothing from the next call on; what runs is still billed; nothing brings it back", async ({
    expect,
  }) => {
    const customer = await newCustomer();
    const running = await admitted(customer);
    const { body } = await ask("DELETE", `/accounts/${customer.account}`);
    expect(body).toMatchObject({ id: customer.account, deleted: true, balanceUsd: "10.00" });
    const seen = await ask("GET", `/accounts/${customer.account}`);
    expect(seen.body.account).toMatchObject({ suspended: true, deletedAtMs: expect.any(Number) });
    expect((await customer.get("/user/balance")).body.error.code).toBe("api_key_revoked");
    await expect(admitted(customer)).rejects.toThrow("key_revoked");
    const object = accountObject(env, customer.account);
    const receipts = [receipt(running, "stop")];
    await object.settle({ v: 1, account: customer.account, receipts, renew: [] });
    expect(await object.status()).toMatchObject({ balanceNanoUsd: 10_000_000_000 - 80_000, holdsOpen: 0 });
    for (const [method, path, input] of [
      ["POST", "/keys", { name: "again" }],
      ["POST", "/credits", { creditId: "again", amountUsd: "1" }],
      ["PATCH", "", { suspended: false }],
    ] as const)
      expect((await ask(method, `/accounts/${customer.account}${path}`, input)).status).toBe(409);
    // What was left may still be paid out.
    const payout = { creditId: "payout", amountUsd: "-1" };
    expect((await ask("POST", `/accounts/${customer.account}/credits`, payout)).status).toBe(200);
    const keys = await ask("GET", `/accounts/${customer.account}/keys`);
    expect(keys.body.keys[0].revokedAtMs).toEqual(expect.any(Number));
  });

  test("opens no cached answer any more, of any model", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const verdict = await account.object.admit(account.ask());
    const before = verdict.ok ? verdict.cacheSalt : "";
    await account.object.forgetAnswers("m");
    await account.object.retire();
    const kept = await account.inside((_, state) =>
      state.storage.sql.exec<{ n: number }>("select count(*) as n from answers").one(),
    );
    const row = await account.inside((_, state) =>
      state.storage.sql.exec<{ cache_salt: string }>("select cache_salt from account").one(),
    );
    expect([before.length > 0, kept.n, row.cache_salt === before]).toEqual([true, 0, false]);
  });

  test("is gone from everywhere once its ledger's time is over, and not before", async ({ expect }) => {
    const account = await accountUsed([500, 1]);
    const object = accountObject(env, account);
    await object.retire();
    const deleted = async (days: number) => {
      await env.DB.prepare("update accounts set deleted_at_ms = ? where id = ?")
        .bind(NOW_MS - days * DAY_MS, account)
        .run();
      await steps(2);
    };
    await deleted(2_556);
    expect(await count("ledger_entries", account)).toBe(1);
    // One whose object cannot be asked, deleted before all others, stops none of it.
    await env.DB.prepare(
      "insert into accounts (id, name, created_at_ms, deleted_at_ms) values ('acc_0000_000000000000', 'x', 0, 1)",
    ).run();
    await deleted(2_558);
    for (const table of ["usage_events", "rollups", "ledger_entries", "keys"])
      expect([table, await count(table, account)]).toEqual([table, 0]);
    expect(await env.DB.prepare("select id from accounts where id = ?").bind(account).first()).toBeNull();
    expect(await object.status()).toBeNull();
  });

  test("goes though one before it is larger than a step removes; and that one goes bite by bite", async ({
    expect,
  }) => {
    const large = "acc_any_000000000000";
    const small = "acc_any_000000000001";
    for (const account of [large, small])
      await env.DB.prepare(
        "insert into accounts (id, name, created_at_ms, deleted_at_ms) values (?, 'x', 0, 1)",
      )
        .bind(account)
        .run();
    await env.DB.prepare(
      `with recursive n(i) as (select 1 union all select i + 1 from n where i < ?2)
       insert into rollups select ?1, ?3 - i, 'k', 'm', 'r', 0, 0, 0, 0, 0, 0, 0 from n`,
    )
      .bind(large, 11 * BITE_ROWS, NOW_MS)
      .run();
    await env.DB.prepare("insert or replace into chores values ('removal', 'acc_any_0', 0)").run();
    const left = async (): Promise<unknown[]> => [
      await count("rollups", large),
      ...(
        await env.DB.prepare("select id from accounts where id in (?, ?) order by id")
          .bind(large, small)
          .all()
      ).results.map(({ id }) => id),
    ];
    await removeOld(env, NOW_MS);
    expect(await left()).toEqual([BITE_ROWS, large]);
    await removeOld(env, NOW_MS);
    expect(await left()).toEqual([0]);
  });

  test("goes though any number of others never can", async ({ expect }) => {
    for (let nr = 0; nr < 12; nr++)
      await env.DB.prepare(
        "insert into accounts (id, name, created_at_ms, deleted_at_ms) values (?, 'x', 0, 1)",
      )
        .bind(`acc_0000_${String(nr).padStart(11, "0")}x`)
        .run();
    const account = await accountUsed([500]);
    await accountObject(env, account).retire();
    await env.DB.prepare("update accounts set deleted_at_ms = 2 where id = ?").bind(account).run();
    await steps(8);
    expect(await env.DB.prepare("select id from accounts where id = ?").bind(account).first()).toBeNull();
    await env.DB.prepare("delete from accounts where id like 'acc_0000_%'").run();
  });
});
