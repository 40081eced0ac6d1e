/** Clients that leave: the node stops soon, and the bill is what was handed over. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, slotsBusy, Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform();
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());

const STOPS_WITHIN_MS = 1_500;

const nodeUrl = (): string => platform.nodes[0]?.url ?? "";

async function stopsInTime(leftAtMs: number): Promise<void> {
  await eventually("the node to stop", STOPS_WITHIN_MS, async () =>
    (await slotsBusy(nodeUrl())) === 0 ? true : undefined,
  );
  expect(performance.now() - leftAtMs).toBeLessThan(STOPS_WITHIN_MS);
}

function ask(
  tenant: Tenant,
  directive: Record<string, unknown>,
  stream: boolean,
  signal: AbortSignal,
): Promise<Response> {
  const body = {
    model: platform.model,
    stream,
    max_tokens: 2_000,
    messages: stack.script({ think: 0, ...directive }),
  };
  return stack.post(tenant, body, { signal });
}

test("a client that leaves in the middle of a stream pays the positions handed over, and nothing else", async () => {
  const tenant = await stack.tenant();
  const client = new AbortController();
  const response = await ask(tenant, { tokens: 1_000, everyMs: 20 }, true, client.signal);
  const reader = response.body?.getReader();
  let seen = 0;
  while (seen < 20) {
    const { value } = (await reader?.read()) ?? {};
    seen += new TextDecoder().decode(value).split("data:").length - 1;
  }
  const leftAtMs = performance.now();
  client.abort();
  await stopsInTime(leftAtMs);
  const row = await stack.onlyRow(tenant, 5_000);
  expect(row).toMatchObject({ certainty: "exact", ended: "client_gone" });
  // What was on its way when the client left was handed over too: at most 1.5 s of tokens.
  expect(row.completionTokens).toBeGreaterThanOrEqual(seen - 1);
  expect(row.completionTokens).toBeLessThanOrEqual(seen + STOPS_WITHIN_MS / 20);
  await stack.settled(tenant, 5_000);
});

test("a client that leaves during the prefill pays what was evaluated, and no output", async () => {
  const tenant = await stack.tenant();
  const client = new AbortController();
  const asked = ask(tenant, { tokens: 5, prefillMsPerToken: 100 }, true, client.signal).catch(
    () => undefined,
  );
  await eventually("the node to begin", 3_000, async () =>
    (await slotsBusy(nodeUrl())) === 1 ? true : undefined,
  );
  const leftAtMs = performance.now();
  client.abort();
  await asked;
  await stopsInTime(leftAtMs);
  const row = await stack.onlyRow(tenant, 5_000);
  expect(row).toMatchObject({ certainty: "exact", ended: "client_gone", completionTokens: 0 });
  await stack.settled(tenant, 5_000);
});

test("a client that leaves while an answer in one piece is made pays the positions made", async () => {
  const tenant = await stack.tenant();
  const client = new AbortController();
  const asked = ask(tenant, { tokens: 1_000, everyMs: 20 }, false, client.signal)
    .then((response) => response.text())
    .catch(() => undefined);
  await eventually("the node to begin", 3_000, async () =>
    (await slotsBusy(nodeUrl())) === 1 ? true : undefined,
  );
  const beganAtMs = performance.now();
  setTimeout(() => client.abort(), 1_500);
  await asked;
  const leftAtMs = performance.now();
  await stopsInTime(leftAtMs);
  const row = await stack.onlyRow(tenant, 5_000);
  expect(row).toMatchObject({ certainty: "exact", ended: "client_gone" });
  expect(row.completionTokens).toBeGreaterThan(0);
  expect(row.completionTokens).toBeLessThanOrEqual((performance.now() - beganAtMs) / 20 + 1);
  await stack.settled(tenant, 5_000);
});

test("neither prompts nor keys are in any log", async () => {
  const tenant = await stack.tenant();
  const planted = "a-very-recognisable-prompt";
  await stack
    .sdk(tenant)
    .chat.completions.create({ model: platform.model, messages: [{ role: "user", content: planted }] });
  await stack.onlyRow(tenant, 5_000);
  const logs = await Promise.all(
    [platform.workerLog, ...platform.nodes.map((node) => node.logFile)].map((file) => readFile(file, "utf8")),
  );
  for (const log of logs) {
    expect(log).not.toContain(planted);
    expect(log).not.toContain(tenant.apiKey);
  }
  expect(logs[0]).toContain('"event":"request"');
});
