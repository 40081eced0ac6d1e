/** GET /v1/usage: buckets of time, grouped, in pages; each number is the sum of the rows it comes from. */
import { ulid } from "@sluice/protocol/ids";
import { describe, test } from "vitest";
import { HOUR_MS } from "../../../src/db/rollups.ts";
import { ask } from "../admin/support.ts";
import { batchOf, deliver, usage } from "../metering/support.ts";
import { newCustomer, type Customer } from "./support.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * HOUR_MS;
/** Midnight, UTC. */
const START_MS = 20_000 * DAY_MS;

function at(ms: number, n: number): string {
  return `req_${ulid(ms, new Uint8Array(16).fill(n))}`;
}

/** Five requests over two days, one of them corrected. */
async function used(): Promise<Customer> {
  const customer = await newCustomer("0");
  const place = (region: string) => ({
    attempts: [{ ordinal: 0, node: "node_0000000000", region, ended: "stop", to: 7 }],
  });
  const row = (seq: number, ms: number, more: object) =>
    usage(seq, seq * 100, { request: at(START_MS + ms, seq), admittedAtMs: START_MS + ms, ...more });
  const correctedMs = START_MS + 2 * MINUTE_MS + 17;
  const corrected = { request: at(correctedMs, 3), admittedAtMs: correctedMs };
  const log = [
    row(1, 0, { model: "a", ...place("eu-1") }),
    row(2, MINUTE_MS, { model: "b", ...place("us-1") }),
    usage(3, 0, { ...corrected, model: "a", certainty: "pending", attempts: [], completionTokens: 1 }),
    usage(4, 400, { ...corrected, model: "a", revision: 1, ...place("eu-1") }),
    row(5, 3 * HOUR_MS, { model: "a", key: customer.keyId, ...place("eu-1") }),
    row(6, DAY_MS + 5, { model: "a", ...place("eu-1") }),
  ];
  await deliver([batchOf(customer.account, log)]);
  return customer;
}

const S = START_MS / 1_000;

describe("usage", () => {
  test("by the day is a bucket per day, empty ones too", async ({ expect }) => {
    const customer = await used();
    const { body } = await customer.get(`/v1/usage?start_time=${S}&end_time=${S + 3 * 86_400}`);
    expect(body).toMatchObject({ object: "page", has_more: false, next_page: null });
    expect(body.data).toMatchObject([
      {
        object: "bucket",
        start_time: S,
        end_time: S + 86_400,
        results: [
          {
            object: "usage.result",
            num_model_requests: 4,
            input_tokens: 20,
            input_cached_tokens: 8,
            output_tokens: 28,
            cost: { currency: "USD", amount: "0.0000012", nano_usd: 1_200 },
            api_key_id: null,
            model: null,
            region: null,
          },
        ],
      },
      { results: [{ num_model_requests: 1 }] },
      { start_time: S + 2 * 86_400, results: [] },
    ]);
  });

  test("says the same by the minute, the hour and the day, by key, model and region", async ({ expect }) => {
    const customer = await used();
    const totals = async (query: string): Promise<Record<string, number>> => {
      const sums: Record<string, number> = {};
      let page = "";
      do {
        const { body } = await customer.get(
          `/v1/usage?start_time=${S}&end_time=${S + 2 * 86_400}&${query}${page}`,
        );
        for (const { results } of body.data)
          for (const { api_key_id, model, region, cost } of results) {
            const name = [api_key_id, model, region].join(" ");
            sums[name] = (sums[name] ?? 0) + Number(cost.nano_usd);
          }
        page = body.has_more ? `&page=${body.next_page}` : "";
      } while (page !== "");
      return sums;
    };
    const by = "group_by=key&group_by[]=model,region";
    const expected = {
      "key_0000000000 a eu-1": 1_100,
      "key_0000000000 b us-1": 200,
      [`${customer.keyId} a eu-1`]: 500,
    };
    expect(await totals(`bucket_width=1d&${by}`)).toEqual(expected);
    expect(await totals(`bucket_width=1h&limit=5&${by}`)).toEqual(expected);
    expect(await totals(`bucket_width=1m&limit=1440&${by}`)).toEqual(expected);
  });

  test("counts a corrected request once, in the minute it was admitted in", async ({ expect }) => {
    const customer = await used();
    const query = `start_time=${S}&end_time=${S + 180}&bucket_width=1m`;
    const { body } = await customer.get(`/v1/usage?${query}`);
    expect(body.data[2].results).toMatchObject([
      { num_model_requests: 1, output_tokens: 7, cost: { nano_usd: 400 } },
    ]);
  });

  test("of another account is nowhere in it", async ({ expect }) => {
    await used();
    const other = await newCustomer("0");
    const { body } = await other.get(`/v1/usage?start_time=${S}&end_time=${S + 86_400}&group_by=model`);
    expect(body.data.map((bucket: { results: unknown[] }) => bucket.results)).toEqual([[]]);
    await ask("DELETE", `/accounts/${other.account}/keys/${other.keyId}`);
    expect((await other.get("/v1/usage")).status).toBe(401);
  });

  const WRONG = [
    ["start_time=yesterday", "start_time"],
    ["start_time=-1", "start_time"],
    ["start_time=1.5", "start_time"],
    ["start_time=200&end_time=100", "start_time"],
    ["end_time=1e99", "end_time"],
    ["bucket_width=5m", "bucket_width"],
    ["group_by=account", "group_by.0"],
    ["limit=0", "limit"],
    ["bucket_width=1d&limit=32", "limit"],
    ["page=x", "page"],
    ["page=MTIz", "page"],
    ["limit=1&limit=2", "limit"],
    ["group_bye=model", "group_bye"],
  ] as const;
  test.for(WRONG)("with %s is a 400 that names %s", async ([query, param], { expect }) => {
    const { status, body } = await (await newCustomer("0")).get(`/v1/usage?${query}`);
    expect([status, body.error.param]).toEqual([400, param]);
    expect(body.error.message).toContain(param.split(".")[0]);
  });
});
