/** Limits, budgets and repeated calls, as OpenAI's SDK meets them on the whole platform. */
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

/** Output costs a cent a token and the prompt nothing: what a request may cost is easy to say. */
const PRICE = { inputMicroUsdPerM: 0, cachedMicroUsdPerM: 0, outputMicroUsdPerM: 10_000_000 };
const NANO_PER_TOKEN = 10_000;
const TOKENS = 20;

beforeAll(async () => {
  platform = await temporaryPlatform();
  stack = new Stack(platform);
  await stack.admin("PUT", `/models/${platform.model}`, { price: PRICE });
});
afterAll(() => platform[Symbol.asyncDispose]());

const ask = (script: Record<string, unknown> = {}) => ({
  model: platform.model,
  max_tokens: TOKENS,
  messages: stack.script({ tokens: TOKENS - 1, think: 0, ...script }),
});

function limit(tenant: Tenant, settings: Record<string, unknown>): Promise<unknown> {
  return stack.admin("PATCH", `/accounts/${tenant.account}/keys/${tenant.keyId}`, settings);
}

async function refusal(call: Promise<unknown>): Promise<{ status: number; code: unknown; headers: Headers }> {
  const error = await call.then(
    () => new Error("was answered"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpenAI.APIError)) throw error;
  return { status: error.status as number, code: error.code, headers: error.headers as Headers };
}

test("an answer says what is left of each limit, a refusal which one was in the way", async () => {
  const tenant = await stack.tenant();
  await limit(tenant, { requestsPerMinute: 2, tokensPerMinute: 1_000_000 });
  const client = stack.sdk(tenant);
  const { response } = await client.chat.completions.create(ask()).withResponse();
  const { headers } = response;
  expect(headers.get("x-ratelimit-limit-requests")).toBe("2");
  expect(headers.get("x-ratelimit-remaining-requests")).toBe("1");
  expect(headers.get("x-ratelimit-reset-requests")).toMatch(/^\d+s$/);
  expect(Number(headers.get("x-ratelimit-remaining-tokens"))).toBeGreaterThan(990_000);
  expect(headers.get("x-ratelimit-reset-tokens")).toMatch(/^\d+m?s$/);
  await client.chat.completions.create(ask());
  const refused = await refusal(client.chat.completions.create(ask()));
  expect(refused).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
  expect(refused.headers.get("x-sluice-limit")).toBe("requests_per_minute; scope=key; max=2; left=0");
  expect(Number(refused.headers.get("retry-after-ms"))).toBeLessThanOrEqual(30_000);
  expect(refused.headers.get("x-should-retry")).toBe("true");
});

test("a key's budget for ten of fifty calls at once answers ten, and says so to the others", async () => {
  const tenant = await stack.tenant();
  await limit(tenant, { budgetMonthNanoUsd: 10 * TOKENS * NANO_PER_TOKEN });
  const client = stack.sdk(tenant);
  const calls = Array.from({ length: 50 }, () =>
    client.chat.completions.create(ask({ endless: true, everyMs: 5, tokens: 500 })).then(
      () => "answered",
      (error: unknown) =>
        error instanceof OpenAI.APIError ? `${error.status} ${error.code}` : String(error),
    ),
  );
  const ends = await Promise.all(calls);
  expect(ends.filter((end) => end === "answered")).toHaveLength(10);
  expect(ends.filter((end) => end === "402 budget_exceeded")).toHaveLength(40);
  await stack.settled(tenant, 10_000);
  const spent = await refusal(client.chat.completions.create(ask()));
  expect(spent).toMatchObject({ status: 402, code: "budget_exceeded" });
  expect(spent.headers.get("x-should-retry")).toBe("false");
  expect(spent.headers.get("x-sluice-limit")).toMatch(
    /^budget_month_usd; scope=key; max=0.002; left=0.00; resets=2/,
  );
});

test("the same call under one Idempotency-Key is answered once and given again, to the letter, at no cost", async () => {
  const tenant = await stack.tenant();
  const client = stack.sdk(tenant);
  const once = { headers: { "Idempotency-Key": "order 1" } };
  // Sampled: without the key the two would be two answers, and two bills.
  const body = { ...ask(), temperature: 1 };
  const first = await client.chat.completions.create(body, once);
  const cost = 10_000_000_000 - (await stack.settled(tenant, 10_000));
  const second = await eventually("the answer to be given again", 5_000, () =>
    client.chat.completions
      .create(body, once)
      .withResponse()
      .catch(() => undefined),
  );
  expect(second.data).toEqual(first);
  expect(second.response.headers.get("idempotent-replayed")).toBe("true");
  expect(second.response.headers.get("x-request-id")).toBe(first.id.replace("chatcmpl-", "req_"));
  expect(await stack.settled(tenant, 10_000)).toBe(10_000_000_000 - cost);
  expect((await stack.onlyRow(tenant, 10_000)).request).toBe(first.id.replace("chatcmpl-", "req_"));

  const changed = await refusal(client.chat.completions.create({ ...body, max_tokens: 3 }, once));
  expect(changed).toMatchObject({ status: 422, code: "idempotency_key_reused" });
  const odd = await stack.post(tenant, body, {
    headers: {
      authorization: `Bearer ${tenant.apiKey}`,
      "content-type": "application/json",
      "idempotency-key": "x".repeat(256),
    },
  });
  expect([odd.status, ((await odd.json()) as { error: { param: string } }).error.param]).toEqual([
    400,
    "Idempotency-Key",
  ]);
});

test("a stream under an Idempotency-Key is refused while it runs, and named when it is over", async () => {
  const tenant = await stack.tenant();
  const client = stack.sdk(tenant);
  const once = { headers: { "Idempotency-Key": "stream-1" } };
  const body = { ...ask({ everyMs: 100 }), stream: true } as const;
  const stream = await client.chat.completions.create(body, once);
  let id = "";
  for await (const chunk of stream) {
    if (id !== "") continue;
    id = chunk.id.replace("chatcmpl-", "req_");
    const during = await refusal(client.chat.completions.create(body, once));
    expect(during).toMatchObject({ status: 409, code: "request_in_progress" });
    expect(during.headers.get("x-should-retry")).toBe("true");
  }
  await stack.settled(tenant, 10_000);
  const after = await stack.post(tenant, body, {
    headers: {
      authorization: `Bearer ${tenant.apiKey}`,
      "content-type": "application/json",
      "idempotency-key": "stream-1",
    },
  });
  expect([after.status, after.headers.get("x-should-retry")]).toEqual([409, "false"]);
  const { error } = (await after.json()) as { error: { code: string; message: string } };
  expect(error.code).toBe("already_completed");
  expect(error.message).toContain(`/v1/generation?id=${id}`);
  expect((await stack.onlyRow(tenant, 10_000)).request).toBe(id);
});
