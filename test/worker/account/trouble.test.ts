/** Where the account's storage is in trouble nothing starts, nothing is lost, and the caller is told to come again. */
import type { EventBatch } from "@sluice/protocol/account-log";
import { NEWEST } from "@sluice/protocol/version";
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, test, vi } from "vitest";
import { app } from "../../../src/app.ts";
import type { Env } from "../../../src/core/env.ts";
import { ask } from "../admin/support.ts";
import { newCustomer, type Customer } from "../tenant/support.ts";
import { call, COST, HOLD, openAccount, receipt, SECRET, word } from "./support.ts";

afterEach(() => void vi.restoreAllMocks());

const BALANCE = 10 * HOLD;

async function complete(customer: Customer, ACCOUNTS: object): Promise<Response> {
  const request = new Request("https://edge.example.com/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${customer.secret}` },
    body: JSON.stringify({ model: "troubled", messages: [{ role: "user", content: "a planted prompt" }] }),
  });
  const where = { ...env, ACCOUNTS: ACCOUNTS as typeof env.ACCOUNTS };
  return app.fetch(request, where, createExecutionContext());
}

describe("a request whose account cannot be asked", () => {
  test("is refused as such: 503, try again, and no node is called", async ({ expect }) => {
    const price = { inputMicroUsdPerM: 1, cachedMicroUsdPerM: 1, outputMicroUsdPerM: 1 };
    await ask("PUT", "/models/troubled", {
      contextTokens: 2_048,
      outputTokensDefault: 100,
      ownedBy: "us",
      price,
    });
    const customer = await newCustomer();
    const nodes = vi.spyOn(globalThis, "fetch");
    const logged = vi.spyOn(console, "error");
    const failing = {
      idFromName: (name: string) => name,
      get: () => ({ admit: () => Promise.reject(new Error("disk I/O error")) }),
    };
    const response = await complete(customer, failing);
    const { error } = await response.json<{ error: { code: string; message: string } }>();
    expect([response.status, error.code]).toEqual([503, "storage_unavailable"]);
    expect(response.headers.get("x-should-retry")).toBe("true");
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(error.message).not.toContain("disk");
    expect(nodes).not.toHaveBeenCalled();
    // An operator hears of it, without what was asked.
    const text = JSON.stringify(logged.mock.calls);
    expect(text).toContain("storage_unavailable");
    expect(text).not.toContain("planted");
  });
});

describe("an account whose storage fails", () => {
  test("admits nothing and says why; once it is well, its money is as it was, and it goes on", async ({
    expect,
  }) => {
    const account = await openAccount(BALANCE);
    const running = await account.admit();
    const failing = await account.inside((_, { storage }) =>
      vi.spyOn(storage, "transactionSync").mockImplementation(() => {
        throw new Error("disk I/O error");
      }),
    );
    expect(await account.object.admit(account.ask())).toEqual({
      ok: false,
      refusal: { kind: "storage_unavailable" },
    });
    const lost = word(account.id, running, "node_lost", { next: call(1) });
    const extend = { v: 1, account: account.id, request: running, ...call(1), promptCeiling: 150 };
    // Nothing is acknowledged: the node and the Worker say it again.
    const told = [
      account.settle(receipt(running, "stop")),
      account.object.word(lost),
      account.object.extend(extend),
    ];
    for (const { status } of await Promise.allSettled(told)) expect(status).toBe("rejected");
    failing.mockRestore();
    expect(await account.object.status()).toMatchObject({
      balanceNanoUsd: BALANCE,
      heldNanoUsd: HOLD,
      holdsOpen: 1,
    });
    await account.settle(receipt(running, "stop"));
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: BALANCE - COST, heldNanoUsd: 0 });
    await account.admit();
  });

  test("tells D1 nothing that was undone, though a message was on its way, and all that happened after", async ({
    expect,
  }) => {
    const account = await openAccount(0);
    const sent: string[] = [];
    await account.inside(async (object, { storage }) => {
      const { EVENTS } = (object as unknown as { env: Env }).env;
      const onItsWay = Promise.withResolvers<undefined>();
      const mayGo = Promise.withResolvers<undefined>();
      const done = Promise.withResolvers<undefined>();
      vi.spyOn(EVENTS, "send").mockImplementation(async (text) => {
        const { account: of, events } = JSON.parse(text) as EventBatch;
        // The queue is that of all accounts.
        if (of !== account.id) return undefined as never;
        for (const event of events) if (event.kind === "credit") sent.push(event.creditId);
        onItsWay.resolve(undefined);
        if (sent.at(-1) === "real") done.resolve(undefined);
        await mayGo.promise;
        return undefined as never;
      });
      const credit = (creditId: string) => object.credit({ creditId, amountNanoUsd: 1, note: "" });
      const before = Array.from({ length: 150 }, (_, at) => `c${at}`);
      await Promise.all(before.map(credit));
      await onItsWay.promise;
      const transaction = storage.transactionSync.bind(storage);
      const failing = vi.spyOn(storage, "transactionSync").mockImplementation((turn) =>
        transaction(() => {
          turn();
          throw new Error("disk I/O error");
        }),
      );
      await expect(credit("undone")).rejects.toThrow("disk I/O error");
      failing.mockRestore();
      mayGo.resolve(undefined);
      await credit("real");
      await done.promise;
      expect(sent).toEqual([...before, "real"]);
    });
  });

  test("shows nobody what was undone while they asked", async ({ expect }) => {
    const account = await openAccount(BALANCE);
    const running = await account.admit();
    await account.inside(async (object, { storage }) => {
      const transaction = storage.transactionSync.bind(storage);
      let turns = 0;
      vi.spyOn(storage, "transactionSync").mockImplementation((turn) =>
        transaction(() => {
          const value = turn();
          turns += 1;
          // The second turn is of the look and the receipt together; then each is tried alone.
          if (turns === 2 || turns === 4) throw new Error("disk I/O error");
          return value;
        }),
      );
      const credit = object.credit({ creditId: "c", amountNanoUsd: 1, note: "" });
      const look = object.look({ key: { id: account.key, secretSha256: SECRET }, request: running });
      const receipts = [receipt(running, "stop")];
      const settle = object.settle({ v: NEWEST, account: account.id, receipts, renew: [] });
      await expect(settle).rejects.toThrow("disk I/O error");
      await credit;
      expect(await look).toMatchObject({ request: { kind: "running" } });
    });
  });
});
