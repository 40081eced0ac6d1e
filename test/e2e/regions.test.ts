/** Where a request may run is a wall: for what is asked, for what goes on after a failure, and when a region is lost. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

/** Limits that a test can wait for. */
const TIMEOUTS = { firstTokenMs: 1_500, firstTokenMsPerPromptToken: 0, betweenTokensMs: 1_500 };

beforeAll(async () => {
  platform = await temporaryPlatform({
    nodeCount: 2,
    regions: ["eu", "us"],
    vars: { SLUICE_TIMEOUTS: JSON.stringify(TIMEOUTS) },
  });
  stack = new Stack(platform);
});
afterAll(() => platform?.[Symbol.asyncDispose]());
beforeEach(() => platform.whenNodesReady());

function ask(tenant: Tenant, directive: object, regions?: string): Promise<Response> {
  return fetch(`${platform.baseUrl}/v1/chat/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${tenant.apiKey}`,
      "content-type": "application/json",
      "x-sluice-cache": "off",
      ...(regions === undefined ? {} : { "x-sluice-regions": regions }),
    },
    body: JSON.stringify({
      model: platform.model,
      stream: true,
      messages: stack.script({ think: 0, ...directive }),
    }),
  });
}

async function errorOf(response: Response): Promise<{ code: string; param: string | null; message: string }> {
  return ((await response.json()) as { error: { code: string; param: string | null; message: string } })
    .error;
}

test("a request runs in the regions it names, and a region nobody knows is a mistake that is named", async () => {
  const tenant = await stack.tenant();
  for (const region of ["us", "eu", "us", "eu"]) {
    const response = await ask(tenant, { tokens: 1 }, region);
    expect(await response.text()).toContain("[DONE]");
    expect(response.headers.get("x-sluice-region")).toBe(region);
  }
  const unknown = await ask(tenant, { tokens: 1 }, "eu,mars");
  expect(unknown.status).toBe(400);
  expect(await errorOf(unknown)).toMatchObject({
    param: "x-sluice-regions",
    message: expect.stringContaining("no region 'mars'; known are eu, us"),
  });
});

test("a request cannot leave the regions of its account, and holds nothing when it tries", async () => {
  const tenant = await stack.tenant();
  await stack.admin("PATCH", `/accounts/${tenant.account}`, { regions: ["eu"] });
  const response = await ask(tenant, { tokens: 1 }, "us");
  expect(response.status).toBe(403);
  expect(await errorOf(response)).toMatchObject({ code: "data_residency_mismatch" });
  await stack.settled(tenant, 5_000);
});

test("an engine that lives and makes no further token is given up, and the answer goes on elsewhere", async () => {
  const tenant = await stack.tenant();
  const text = await (await ask(tenant, { tokens: 30, everyMs: 5, hangAt: 10 })).text();
  expect(text).toContain("[DONE]");
  const row = await stack.onlyRow(tenant, 10_000, ({ certainty }) => certainty === "exact");
  expect(row).toMatchObject({ ended: "stop", completionTokens: 31 });
  expect(row.attempts.map(({ ended }) => ended)).toEqual(["timeout_between_tokens", "stop"]);
});

test("engines that live and make no first token are given up one after the other, and nothing is billed", async () => {
  const tenant = await stack.tenant();
  const text = await (await ask(tenant, { tokens: 30, hangAt: 0 })).text();
  expect(text).toContain('"code":"overloaded"');
  const row = await stack.onlyRow(tenant, 10_000, ({ certainty }) => certainty === "exact");
  expect(row).toMatchObject({ ended: "timeout_first_token", completionTokens: 0, costNanoUsd: 0 });
  expect(row.attempts.map(({ ended }) => ended)).toEqual(["timeout_first_token", "timeout_first_token"]);
});

test("a region is lost: who may leave it does so at once, who may not fails, and a stream of his says why", async () => {
  const free = await stack.tenant();
  const pinned = await stack.tenant();
  await stack.admin("PATCH", `/accounts/${pinned.account}`, { regions: ["eu"] });
  const running = await ask(pinned, { tokens: 400, everyMs: 20 });
  const [eu] = platform.nodes.filter((node) => node.region === "eu");
  await eu?.kill("tree");
  expect(await running.text()).toMatch(/"code":"data_residency_mismatch"\}\}\n\n$/);

  // At once, while the edge still believes in the region; and three seconds later, when it does not.
  for (const _ of [1, 2]) {
    const moved = await ask(free, { tokens: 1 });
    expect(await moved.text()).toContain("[DONE]");
    expect(moved.headers.get("x-sluice-region")).toBe("us");
    const refused = await ask(pinned, { tokens: 1 });
    expect(refused.status).toBe(503);
    expect(await errorOf(refused)).toMatchObject({ code: "data_residency_mismatch" });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
  }
  eu?.start();
});
