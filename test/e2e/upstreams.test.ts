/**
 * Overflow: no node has room, or none is alive, and an account that allows it is answered by somebody else's API, as if by a node
 * of ours; one that does not allow it is told that nobody has room. The foreign server is real, and so is the SDK.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { findLlamaServer } from "../../tools/llama-server.ts";
import { runLlamaServer } from "../node/support/llama-server.ts";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, slotsBusy, Stack, type Tenant, type UsageRow } from "../support/stack.ts";
import { startForeignServer, type ForeignServer } from "../support/upstream.ts";

const SECRET = "sk-planted-secret-of-the-upstream";
const FREE = { inputMicroUsdPerM: 0, cachedMicroUsdPerM: 0, outputMicroUsdPerM: 0 };
const TOKENS = 40;
const WORDS = Array.from({ length: TOKENS }, (_, i) => `${i} `).join("");

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;
let foreign: ForeignServer;
let upstream: string;

beforeAll(async () => {
  foreign = await startForeignServer();
  platform = await temporaryPlatform({
    regions: ["eu"],
    nodeArgs: ["--slots", "1", "--queue-max", "0"],
    vars: { SLUICE_CLOCKS: JSON.stringify({ holdLapseMs: 2_000, pendingMaxMs: 2_000 }) },
  });
  stack = new Stack(platform);
  const made = await stack.admin<{ upstream: { id: string } }>("POST", "/upstreams", {
    name: "spare",
    region: "us",
    url: foreign.baseUrl,
    apiKey: SECRET,
    models: [
      {
        model: platform.model,
        as: foreign.model,
        inputMicroUsdPerM: 1_000_000,
        cachedMicroUsdPerM: 1_000_000,
        outputMicroUsdPerM: 2_000_000,
      },
    ],
    concurrency: 4,
    policy: { trains: false, retainsDays: 0 },
  });
  upstream = made.upstream.id;
});
afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await foreign[Symbol.asyncDispose]();
});

async function nodeAway(): Promise<void> {
  for (const node of platform.nodes) await node.kill();
}
beforeEach(async () => {
  for (const node of platform.nodes) node.start();
  await platform.whenNodesReady();
  await stack.serving();
});

async function tenantOf(upstreams: string, more: object = {}): Promise<Tenant> {
  const tenant = await stack.tenant();
  await stack.admin("PATCH", `/accounts/${tenant.account}`, { upstreams, ...more });
  return tenant;
}

function asked(directive: Record<string, unknown>): OpenAI.ChatCompletionCreateParamsNonStreaming {
  return { model: "deepseek-chat", messages: stack.script({ think: 0, ...directive }) };
}

/** What the tenant itself may look up. */
async function generation(tenant: Tenant, id: string) {
  const response = await fetch(`${platform.baseUrl}/v1/generation?id=${id}`, {
    headers: { authorization: `Bearer ${tenant.apiKey}` },
  });
  return (await response.json()) as { attempts: object[]; certainty: string };
}

const closed = (row: UsageRow): boolean => row.certainty !== "pending";

test("with no node alive a stream comes from the upstream, under our names, and is billed as it reports", async () => {
  const tenant = await tenantOf("no-retention");
  await nodeAway();
  const call = stack.sdk(tenant).chat.completions.create({
    ...asked({ tokens: TOKENS }),
    stream: true,
    stream_options: { include_usage: true },
  });
  const { data: stream, response } = await call.withResponse();
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe(WORDS);
  expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant");
  expect(new Set(chunks.map(({ id, model }) => `${id.slice(0, 9)} ${model}`))).toEqual(
    new Set(["chatcmpl- deepseek-chat"]),
  );
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  expect(response.headers.get("x-sluice-node")).toBe(upstream);
  expect(response.headers.get("x-sluice-region")).toBe("us");
  const usage = chunks.at(-1)?.usage;
  expect(usage).toMatchObject({ completion_tokens: TOKENS + 1 });

  const row = await stack.onlyRow(tenant, 10_000, closed);
  expect(row).toMatchObject({
    certainty: "reported",
    ended: "stop",
    promptTokens: usage?.prompt_tokens,
    completionTokens: TOKENS + 1,
  });
  expect(row.attempts.at(-1)).toMatchObject({ node: upstream, ended: "stop", to: TOKENS + 1 });
  const balance = await stack.settled(tenant, 10_000);
  expect(balance).toBe(10_000_000_000 - row.costNanoUsd);
  const looked = await generation(tenant, chunks[0]?.id ?? "");
  expect(looked).toMatchObject({ certainty: "reported" });
  // What it charges the operator is the operator's business.
  expect(JSON.stringify(looked)).not.toContain("cost_nano");
  const operators = await stack.admin("GET", `/generations/${row.request}?account=${tenant.account}`);
  const charged = row.promptTokens * 1_000 + row.completionTokens * 2_000;
  expect(JSON.stringify(operators)).toContain(`"upstream_cost_nano_usd":${charged}`);
});

test("an account that allows no upstream, or none that keeps prompts elsewhere, is told that nobody has room", async () => {
  const never = await tenantOf("none");
  const pinned = await tenantOf("any", { regions: ["eu"] });
  await nodeAway();
  for (const [tenant, code] of [
    [never, "overloaded"],
    [pinned, "data_residency_mismatch"],
  ] as const) {
    // A node that has just died is still asked for a moment, and that is a 502.
    const refused = await eventually("the node to be forgotten", 10_000, async () => {
      const response = await stack.post(tenant, asked({ tokens: 2 }));
      return response.status === 503 ? response : undefined;
    });
    expect(await refused.json()).toMatchObject({ error: { code } });
    const rows = await stack.usage(tenant);
    expect(JSON.stringify(rows)).not.toContain(upstream);
  }
});

test("with the only node full, who allows it goes elsewhere at once, and who does not gets a 503", async () => {
  const [busy, allowed, never] = [await tenantOf("none"), await tenantOf("any"), await tenantOf("none")];
  const leave = new AbortController();
  const long = { ...asked({ tokens: 400, everyMs: 50 }), stream: true };
  const running = stack.post(busy, long, { signal: leave.signal });
  await eventually("the node to be busy", 5_000, async () =>
    (await slotsBusy(platform.nodes[0]?.url ?? "")) > 0 ? true : undefined,
  );
  const [whole, refused] = await Promise.all([
    stack.sdk(allowed).chat.completions.create(asked({ tokens: TOKENS })),
    stack.post(never, asked({ tokens: TOKENS })),
  ]);
  expect(whole).toMatchObject({
    model: "deepseek-chat",
    choices: [{ message: { role: "assistant", content: WORDS, refusal: null }, finish_reason: "stop" }],
    usage: { completion_tokens: TOKENS + 1 },
  });
  expect(refused.status).toBe(503);
  leave.abort();
  await running.then((response) => response.body?.cancel()).catch(() => undefined);
  expect(await stack.onlyRow(allowed, 10_000, closed)).toMatchObject({
    certainty: "reported",
    completionTokens: TOKENS + 1,
  });
});

const built = findLlamaServer();
test.skipIf("missing" in built)(
  "a real llama-server answers for us: its text, its own count of the tokens, and no sign of it",
  async () => {
    if ("missing" in built) return;
    const server = await runLlamaServer(built.path, { slots: 1, contextTokens: 512 });
    const made = await stack.admin<{ upstream: { id: string } }>("POST", "/upstreams", {
      name: "llama",
      region: "us",
      url: `${server.url.origin}/v1`,
      apiKey: null,
      // It charges nothing: it is asked before the other.
      models: [{ model: platform.model, as: "sluice-tiny", ...FREE }],
      concurrency: 1,
      policy: { trains: false, retainsDays: 0 },
    });
    try {
      const tenant = await tenantOf("no-retention");
      await nodeAway();
      const stream = await stack.sdk(tenant).chat.completions.create({
        model: "deepseek-chat",
        temperature: 0,
        messages: [{ role: "user", content: "What is 17 + 25?" }],
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = "";
      let usage: OpenAI.CompletionUsage | null | undefined;
      for await (const chunk of stream) {
        expect(chunk).toMatchObject({ model: "deepseek-chat", system_fingerprint: null });
        text += chunk.choices[0]?.delta.content ?? "";
        usage = chunk.usage;
      }
      expect(text).toContain("42");
      expect(usage?.completion_tokens).toBeGreaterThan(2);
      const row = await stack.onlyRow(tenant, 10_000, closed);
      expect(row).toMatchObject({
        certainty: "reported",
        ended: "stop",
        promptTokens: usage?.prompt_tokens,
        completionTokens: usage?.completion_tokens,
      });
      expect(row.attempts.at(-1)).toMatchObject({ node: made.upstream.id });
    } finally {
      await stack.admin("DELETE", `/upstreams/${made.upstream.id}`);
      await server.stop();
    }
  },
);

test("a client that leaves an upstream's stream pays what it was sent, and the books close", async () => {
  const tenant = await tenantOf("any");
  await nodeAway();
  const stream = await stack.sdk(tenant).chat.completions.create({
    ...asked({ tokens: 300, everyMs: 20 }),
    stream: true,
  });
  let seen = 0;
  for await (const _ of stream) if (++seen === 5) break;
  const row = await stack.onlyRow(tenant, 15_000, closed);
  expect(row).toMatchObject({ certainty: "estimated", ended: "client_gone" });
  expect(row.completionTokens).toBeGreaterThanOrEqual(5);
  expect(row.completionTokens).toBeLessThan(300);
  await stack.settled(tenant, 10_000);
});

test("an edge that dies under an upstream's stream bills nothing, and the row says that nobody knows", async () => {
  const tenant = await tenantOf("any");
  await nodeAway();
  const response = await stack.post(tenant, { ...asked({ tokens: 300, everyMs: 20 }), stream: true });
  await response.body?.getReader().read();
  await platform.killWorker();
  await platform.restartWorker();
  const row = await stack.onlyRow(tenant, 20_000, closed);
  expect(row).toMatchObject({ certainty: "unknown", completionTokens: 0, costNanoUsd: 0 });
  expect(row.attempts.at(-1)).toMatchObject({ node: upstream });
  expect(await stack.settled(tenant, 10_000)).toBe(10_000_000_000);
});

test("a node that dies in the middle of an answer is not continued elsewhere: the client is told", async () => {
  const tenant = await tenantOf("any");
  const response = await stack.post(tenant, { ...asked({ tokens: 300, everyMs: 20 }), stream: true });
  const reader = response.body?.getReader();
  await reader?.read();
  await nodeAway();
  const decoder = new TextDecoder();
  let text = "";
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read())
    text += decoder.decode(next.value, { stream: true });
  expect(text).toContain('"error"');
  expect(text).not.toContain("[DONE]");
  expect(text).not.toContain(upstream);
});

test("an upstream that dies in the middle ends the stream with an error, never silently; the next call is refused", async () => {
  const tenant = await tenantOf("any");
  await nodeAway();
  const stream = await stack.sdk(tenant).chat.completions.create({
    ...asked({ tokens: 300, everyMs: 20 }),
    stream: true,
  });
  const read = async (): Promise<void> => {
    let seen = 0;
    for await (const _ of stream) if (++seen === 5) await foreign.kill();
  };
  await expect(read()).rejects.toMatchObject({ code: "overloaded" });
  expect(await stack.onlyRow(tenant, 10_000, closed)).toMatchObject({
    certainty: "estimated",
    ended: "node_lost",
  });
  const after = await stack.post(tenant, asked({ tokens: 2 }));
  expect(after.status).toBe(502);
});

test("the upstream's secret is in no file of the platform: no table, no cache, no log", async () => {
  const files = readdirSync(platform.dataDir, { recursive: true, encoding: "utf8" })
    .map((name) => join(platform.dataDir, name))
    .filter((path) => statSync(path).isFile());
  expect(files.length).toBeGreaterThan(5);
  const holding = files.filter((path) => readFileSync(path).includes(SECRET));
  expect(holding).toEqual([]);
  const { upstreams } = await stack.admin<{ upstreams: object[] }>("GET", "/upstreams");
  expect(JSON.stringify(upstreams)).not.toContain(SECRET);
});
