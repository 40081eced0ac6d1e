/** What an account may ask about itself, with its own key and about nobody else. */
import { describe, test } from "vitest";
import { receipt } from "../account/support.ts";
import { ask } from "../admin/support.ts";
import { batchOf, deliver, usage } from "../metering/support.ts";
import { accountObject } from "../../../src/core/env.ts";
import { env } from "cloudflare:workers";
import { admitted } from "./admitted.ts";
import { newCustomer } from "./support.ts";

const PATHS = ["/user/balance", "/v1/user/balance", "/v1/key", "/v1/usage", "/v1/generation?id=x"];

describe("without a good key", () => {
  test.for(PATHS)("%s says nothing", async (path, { expect }) => {
    const customer = await newCustomer();
    for (const key of [null, "sk-sluice-nonsense"])
      expect((await customer.get(path, { key })).status).toBe(401);
    expect((await customer.get(path)).status).toBe(path.endsWith("=x") ? 400 : 200);
    await ask("DELETE", `/accounts/${customer.account}/keys/${customer.keyId}`);
    const { status, body } = await customer.get(path.replace("=x", `=req_${"0".repeat(26)}`));
    expect([status, body.error.code]).toEqual([401, "api_key_revoked"]);
    expect(JSON.stringify(body)).not.toContain(customer.secret);
  });
});

describe("GET /user/balance", () => {
  test("has DeepSeek's shape, granted money apart", async ({ expect }) => {
    const customer = await newCustomer("10.00");
    const gift = { creditId: "g", amountUsd: "2.50", kind: "granted" };
    await ask("POST", `/accounts/${customer.account}/credits`, gift);
    expect((await customer.get("/user/balance")).body).toEqual({
      is_available: true,
      balance_infos: [
        { currency: "USD", total_balance: "12.50", granted_balance: "2.50", topped_up_balance: "10.00" },
      ],
    });
  });

  test("is not available when there is nothing, or while the account is suspended", async ({ expect }) => {
    const poor = await newCustomer("0");
    expect((await poor.get("/user/balance")).body.is_available).toBe(false);
    const rich = await newCustomer();
    await ask("PATCH", `/accounts/${rich.account}`, { suspended: true });
    expect((await rich.get("/user/balance")).body).toMatchObject({
      is_available: false,
      balance_infos: [{ total_balance: "10.00" }],
    });
  });
});

test("GET /v1/key has the key's limits and what it has spent", async ({ expect }) => {
  const customer = await newCustomer();
  const { account } = customer;
  const receipts = [receipt(await admitted(customer), "stop")];
  await accountObject(env, account).settle({ v: 1, account, receipts, renew: [] });
  await admitted(customer);
  const { body } = await customer.get("/v1/key");
  expect(body).toMatchObject({
    object: "key",
    id: customer.keyId,
    name: "mine",
    account: customer.account,
    expires_at: null,
    limits: { requests_per_minute: { key: 60, account: null } },
    running: 1,
    spend: { currency: "USD", day: "0.00008", month: "0.00008", total: "0.00008", requests_today: 2 },
  });
});

describe("GET /v1/generation", () => {
  test("knows a request while it runs and when it is closed; another account does not", async ({
    expect,
  }) => {
    const customer = await newCustomer();
    const request = await admitted(customer);
    const path = `/v1/generation?id=${request.replace("req_", "chatcmpl-")}`;
    expect((await customer.get(path)).body).toMatchObject({ id: request, state: "running", model: "tiny" });
    const signed = { body: '{"as":"signed"}', sig: "s" };
    await accountObject(env, customer.account).settle({
      v: 1,
      account: customer.account,
      receipts: [{ ...receipt(request, "stop"), signed }],
      renew: [],
    });
    const closed = {
      id: request,
      state: "closed",
      certainty: "exact",
      ended: "stop",
      usage: { prompt_tokens: 50, completion_tokens: 30, total_tokens: 80 },
      cost: { currency: "USD", amount: "0.00008", nano_usd: 80_000, write_off_nano_usd: 0 },
      attempts: [
        { ordinal: 0, node: "node_0000000000", region: "eu-1", ended: "stop", to: 30, receipt: signed },
      ],
    };
    expect((await customer.get(path)).body).toMatchObject(closed);
    expect((await (await newCustomer()).get(path)).status).toBe(404);
  });

  test("knows it from the history, once the object has forgotten it", async ({ expect }) => {
    const customer = await newCustomer("0");
    const signed = { body: '{"as":"signed"}', sig: "s" };
    const attempts = [
      { ordinal: 0, node: "node_0000000000", region: "eu-1", ended: "node_lost", to: 3 },
      { ordinal: 1, node: "node_1111111111", region: "us-1", ended: "stop", to: 7, receipt: signed },
    ];
    const first = usage(1, 0, { key: customer.keyId, certainty: "pending", attempts: [] });
    const event = usage(2, 12, { request: first.request, revision: 1, key: customer.keyId, attempts });
    await deliver([batchOf(customer.account, [first, event])]);
    const path = `/v1/generation?id=${first.request}`;
    expect((await customer.get(path)).body).toMatchObject({
      id: first.request,
      revision: 1,
      state: "closed",
      price: { id: "p1" },
      cost: { nano_usd: 12 },
      attempts: [
        { node: "node_0000000000", receipt: null },
        { region: "us-1", receipt: signed },
      ],
    });
    expect((await (await newCustomer()).get(path)).status).toBe(404);
  });

  const WRONG = [
    ["", "id"],
    ["?id=", "id"],
    ["?id=req_1", "id"],
    ["?id=chatcmpl-' or 1=1", "id"],
    [`?id=req_${"0".repeat(26)}&account=acc_any_000000000000`, "account"],
    ["?id=a&id=b", "id"],
  ] as const;
  test.for(WRONG)(
    "with the query '%s' names the parameter that is wrong",
    async ([query, param], { expect }) => {
      const { status, body } = await (await newCustomer()).get(`/v1/generation${query}`);
      expect([status, body.error.param]).toEqual([400, param]);
    },
  );
});
