/** A budget is a wall, and it is not in the way of those who stand before it with money. */
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

/** Output costs a cent a token and the prompt nothing, so that what a request costs is what it may cost. */
const PRICE = { inputMicroUsdPerM: 0, cachedMicroUsdPerM: 0, outputMicroUsdPerM: 10_000_000 };
const NANO_PER_TOKEN = 10_000;
const MAX_TOKENS = 20;

beforeAll(async () => {
  platform = await temporaryPlatform();
  stack = new Stack(platform);
  await stack.admin("PUT", `/models/${platform.model}`, { price: PRICE });
});
afterAll(() => platform[Symbol.asyncDispose]());

function ask(client: OpenAI) {
  return client.chat.completions.create({
    model: platform.model,
    max_tokens: MAX_TOKENS,
    messages: stack.script({ endless: true, everyMs: 5, think: 0, tokens: 500 }),
  });
}

test("of 50 calls at once on a balance for 10, exactly 10 are answered and 40 are refused with 402", async () => {
  const tenant = await stack.tenant({ creditNanoUsd: 10 * MAX_TOKENS * NANO_PER_TOKEN });
  const client = stack.sdk(tenant);
  const ends = await Promise.all(
    Array.from({ length: 50 }, () =>
      ask(client).then(
        (answer) => answer.usage?.completion_tokens,
        (error: unknown) =>
          error instanceof OpenAI.APIError ? `${error.status} ${error.code}` : String(error),
      ),
    ),
  );
  expect(ends.filter((end) => end === MAX_TOKENS)).toHaveLength(10);
  expect(ends.filter((end) => end === "402 insufficient_balance")).toHaveLength(40);
  expect(await stack.settled(tenant, 10_000)).toBe(0);
});

test("20 calls one after another, one at a time allowed and money for one and a half, are all answered", async () => {
  // Each may use a hundred tokens and uses one: all twenty together stay within the half that is to spare.
  const maxTokens = 100;
  const hold = maxTokens * NANO_PER_TOKEN;
  const tenant = await stack.tenant({ creditNanoUsd: hold + hold / 2, concurrency: 1 });
  const client = stack.sdk(tenant);
  for (let i = 0; i < 20; i++) {
    const answer = await client.chat.completions.create({
      model: platform.model,
      max_tokens: maxTokens,
      messages: stack.script({ tokens: 0, think: 0 }),
    });
    expect(answer.choices).toHaveLength(1);
  }
  await stack.settled(tenant, 10_000);
});

test("a revoked key starts nothing from the next call on", async () => {
  const tenant = await stack.tenant();
  const client = stack.sdk(tenant);
  await ask(client);
  await stack.admin("DELETE", `/accounts/${tenant.account}/keys/${tenant.keyId}`);
  await expect(ask(client)).rejects.toMatchObject({ status: 401, code: "api_key_revoked" });
});

test("a limit of requests a minute says when to come back, and refusals consume nothing", async () => {
  const tenant = await stack.tenant({ requestsPerMinute: 3 });
  const quick = { model: platform.model, max_tokens: 1, messages: stack.script({ tokens: 0, think: 0 }) };
  const statuses: number[] = [];
  let refused: Response | undefined;
  for (let i = 0; i < 6; i++) {
    const response = await stack.post(tenant, quick);
    statuses.push(response.status);
    if (response.status === 429) refused = response;
    await response.text();
  }
  expect(statuses.slice(0, 3)).toEqual([200, 200, 200]);
  expect(statuses.slice(3)).toEqual([429, 429, 429]);
  expect(Number(refused?.headers.get("retry-after-ms"))).toBeLessThanOrEqual(20_000);
  expect(refused?.headers.get("x-should-retry")).toBe("true");
});

test("the prompt is counted by the node: a hold that was too small is extended, and the answer comes", async () => {
  const tenant = await stack.tenant();
  // One byte is one token to the scripted engine: three times what the edge guesses from the bytes.
  const content = `${JSON.stringify({ script: { tokens: 3, think: 0 } })}${"x".repeat(3_000)}`;
  const answer = await stack.sdk(tenant).chat.completions.create({
    model: platform.model,
    max_tokens: 5,
    messages: [{ role: "user", content }],
  });
  expect(answer.usage?.prompt_tokens).toBeGreaterThan(3_000);
  const row = await stack.onlyRow(tenant, 5_000);
  expect(row).toMatchObject({ certainty: "exact", promptTokens: answer.usage?.prompt_tokens });
  await stack.settled(tenant, 5_000);
});
