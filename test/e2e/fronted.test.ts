/**
 * A node in front of somebody's server that shows no token ids (`--server openai`), in a platform with one of our own beside it: what such
 * an answer costs and says, who is asked for what only the other one can do, and whether the books hold. All of it is real.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type OpenAI from "openai";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { cli } from "../../tools/cli/cli.ts";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack, type Tenant } from "../support/stack.ts";
import { startForeignServer, type ForeignServer } from "../support/upstream.ts";

const TOKENS = 12;
const WORDS = Array.from({ length: TOKENS }, (_, i) => `${i} `).join("");

let foreign: ForeignServer;
let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;
let fronted: string;

beforeAll(async () => {
  foreign = await startForeignServer();
  const front = ["--engine", "http", "--server", "openai", "--upstream", new URL(foreign.baseUrl).origin];
  platform = await temporaryPlatform({
    nodeCount: 2,
    nodeArgs: (name) =>
      name === "node-1" ? [...front, "--as", "sluice-tiny", "--context", "4096", "--prefixes-apart"] : [],
  });
  stack = new Stack(platform);
  fronted = platform.nodeIds.get(platform.nodes[0]?.url ?? "") ?? "";
});
afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await foreign[Symbol.asyncDispose]();
});

async function sluice(...words: string[]): Promise<{ exit: number; out: string }> {
  let out = "";
  const exit = await cli([...words, "--url", platform.baseUrl], {
    env: { SLUICE_URL: platform.baseUrl, SLUICE_ADMIN_TOKEN: platform.adminToken },
    folder: ".",
    readSecret: () => Promise.reject(new Error("nobody is asked")),
    print: (text) => (out += text),
    printError: (text) => (out += text),
  });
  return { exit, out };
}

async function booksOf({ account }: Tenant): Promise<{ exit: number; differences: readonly object[] }> {
  const { exit, out } = await sluice("reconcile", account, "--json");
  const { results } = JSON.parse(out) as {
    results: readonly { differences: readonly object[]; journals: { asked: number; unreachable: number } }[];
  };
  expect(results).toMatchObject([{ journals: { unreachable: 0 } }]);
  return { exit, differences: results.flatMap(({ differences }) => differences) };
}

/** Only the node of this name is there, and the edge knows it. */
async function alone(name: string): Promise<void> {
  for (const node of platform.nodes) if (node.name !== name) await node.stop();
  await stack.serving();
}
afterEach(async () => {
  for (const node of platform.nodes) node.start();
  await platform.whenNodesReady();
});

test("an answer of a server that shows no tokens is billed as that server reports it", async () => {
  await alone("node-1");
  const tenant = await stack.tenant();
  const stream = await stack.sdk(tenant).chat.completions.create({
    model: platform.model,
    messages: stack.script({ tokens: TOKENS, think: 0 }),
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe(WORDS);
  const usage = chunks.at(-1)?.usage;
  expect(usage).toMatchObject({ completion_tokens: TOKENS + 1 });
  const row = await stack.onlyRow(tenant, 10_000);
  expect(row).toMatchObject({
    certainty: "reported",
    ended: "stop",
    promptTokens: usage?.prompt_tokens,
    completionTokens: TOKENS + 1,
  });
  expect(row.attempts.at(-1)).toMatchObject({ node: fronted, ended: "stop", to: TOKENS + 1 });
  expect(await stack.settled(tenant, 10_000)).toBe(10_000_000_000 - row.costNanoUsd);
  expect(await booksOf(tenant)).toEqual({ exit: 0, differences: [] });
});

test("one that breaks off there ends with an error, and is billed by what came", async () => {
  await alone("node-1");
  const tenant = await stack.tenant();
  const stream = await stack.sdk(tenant).chat.completions.create({
    model: platform.model,
    messages: stack.script({ tokens: 50, think: 0, everyMs: 5, dieAt: 10 }),
    stream: true,
  });
  const read = async (): Promise<void> => {
    for await (const _ of stream) continue;
  };
  await expect(read()).rejects.toMatchObject({ code: expect.any(String) });
  const row = await stack.onlyRow(tenant, 10_000, ({ certainty }) => certainty !== "pending");
  expect(row.certainty).toBe("estimated");
  // One position an event: that server may tell several tokens in one.
  expect(row.completionTokens).toBeGreaterThan(0);
  expect(row.completionTokens).toBeLessThanOrEqual(10);
  expect(await booksOf(tenant)).toEqual({ exit: 0, differences: [] });
});

test("a call that asks for what only one engine can do goes to that one, whichever is nearer", async () => {
  const tenant = await stack.tenant();
  const asks = [{ top_k: 4 }, { min_p: 0.1 }, { thinking: { type: "disabled" } }, { n: 2 }];
  for (const ask of [...asks, ...asks]) {
    const response = await stack.post(tenant, {
      model: platform.model,
      messages: stack.script({ tokens: 2, think: 0 }),
      ...ask,
    });
    expect(response.status, JSON.stringify(ask)).toBe(200);
    expect(response.headers.get("x-sluice-node")).not.toBe(fronted);
    await response.text();
  }
});

test("where no node can do it, the client is told which field it is, and pays nothing", async () => {
  await alone("node-1");
  const tenant = await stack.tenant();
  const body = { model: platform.model, messages: stack.script({ tokens: 2 }), top_k: 4 };
  // The other node's last beat is believed for three seconds.
  const response = await eventually("the edge to know who is there", 10_000, async () => {
    const answered = await stack.post(tenant, body);
    return answered.status === 502 ? undefined : answered;
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { code: "unsupported_parameter", param: "top_k" },
  });
  expect(await stack.settled(tenant, 10_000)).toBe(10_000_000_000);
});

test("reconcile finds a bill that is not what the node journalled", async () => {
  await alone("node-2");
  const tenant = await stack.tenant();
  await stack.sdk(tenant).chat.completions.create({
    model: platform.model,
    messages: stack.script({ tokens: TOKENS, think: 0 }),
  });
  const row = await stack.onlyRow(tenant, 10_000);
  expect(await booksOf(tenant)).toEqual({ exit: 0, differences: [] });
  const [node] = platform.nodes.filter(({ name }) => name === "node-2");
  await node?.stop();
  // A disk that has lost an answer's last positions.
  const journal = new DatabaseSync(join(node?.dataDir ?? "", "journal.db"));
  journal.prepare("UPDATE attempts SET to_position = to_position - 3 WHERE request = ?").run(row.request);
  journal.close();
  node?.start();
  await stack.serving();
  expect(await booksOf(tenant)).toMatchObject({
    exit: 1,
    differences: [{ what: "journal", detail: expect.stringContaining(row.request), expected: TOKENS + 1 }],
  });
});
