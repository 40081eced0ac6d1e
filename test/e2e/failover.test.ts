/** A stream survives its node: the next one goes on from exactly the tokens the client has, and it is one request. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, slotsBusy, Stack } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform({ nodeCount: 2 });
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());
beforeEach(async () => {
  await platform.whenNodesReady();
  await stack.serving();
});

const TOKENS = 80;
const WORDS = Array.from({ length: TOKENS }, (_, i) => `${i} `).join("");

test("an engine that dies under a stream is not noticed by the client, and the request is billed once", async () => {
  const tenant = await stack.tenant();
  const stream = await stack.sdk(tenant).chat.completions.create({
    model: platform.model,
    messages: stack.script({ tokens: TOKENS, everyMs: 5, dieAt: 30, think: 0 }),
    stream: true,
    stream_options: { include_usage: true },
  });
  const ids = new Set<string>();
  let text = "";
  let roles = 0;
  let completionTokens = 0;
  for await (const chunk of stream) {
    ids.add(chunk.id);
    const delta = chunk.choices[0]?.delta;
    if (delta?.role !== undefined) roles += 1;
    text += delta?.content ?? "";
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
  }
  expect(text).toBe(WORDS);
  expect(ids.size).toBe(1);
  expect(roles).toBe(1);
  expect(completionTokens).toBe(TOKENS + 1);
  const row = await stack.onlyRow(tenant, 10_000);
  expect(row).toMatchObject({ certainty: "exact", ended: "stop", completionTokens: TOKENS + 1 });
  expect(row.attempts.map((attempt) => attempt.ordinal)).toEqual([0, 1]);
  expect(new Set(row.attempts.map((attempt) => attempt.node)).size).toBe(2);
  await stack.settled(tenant, 10_000);
});

test("kill -9 of the node under a stream: nothing is repeated, nothing is missing", async () => {
  const tenant = await stack.tenant();
  const response = await stack.post(tenant, {
    model: platform.model,
    stream: true,
    messages: stack.script({ tokens: TOKENS, everyMs: 20, think: 0 }),
  });
  const first = response.headers.get("x-sluice-node");
  const victim = platform.nodes.find((node) => platform.nodeIds.get(node.url) === first);
  if (victim?.pid === undefined) throw new Error("the answering node is not known");
  const decoder = new TextDecoder();
  let text = "";
  let killed = false;
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    if (!killed && Number([...text.matchAll(/\bto=(\d+)/g)].at(-1)?.[1] ?? 0) >= 20) {
      killed = true;
      process.kill(victim.pid, "SIGKILL");
    }
  }
  const content = [...text.matchAll(/^data: (\{.*\})$/gm)]
    .map(
      (match) =>
        (JSON.parse(match[1] ?? "") as { choices: { delta: { content?: string } }[] }).choices[0]?.delta
          .content ?? "",
    )
    .join("");
  expect(killed).toBe(true);
  expect(content).toBe(WORDS);
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  const row = await stack.onlyRow(tenant, 10_000);
  expect(row).toMatchObject({ certainty: "exact", completionTokens: TOKENS + 1 });
  await stack.settled(tenant, 10_000);
});

test("kill -9 of the node under an answer in one piece: the next one makes it, whole, and it is billed once", async () => {
  const tenant = await stack.tenant();
  const asked = stack.sdk(tenant).chat.completions.create({
    model: platform.model,
    messages: stack.script({ tokens: TOKENS, everyMs: 20, think: 0 }),
  });
  const victim = await eventually("a node to be busy", 3_000, async () => {
    for (const node of platform.nodes) if ((await slotsBusy(node.url)) > 0) return node;
    return undefined;
  });
  if (victim.pid === undefined) throw new Error("the busy node has no process");
  process.kill(victim.pid, "SIGKILL");
  const answer = await asked;
  expect(answer.choices[0]?.message.content).toBe(WORDS);
  const row = await stack.onlyRow(tenant, 30_000, (candidate) => candidate.certainty === "exact");
  expect(row).toMatchObject({ ended: "stop", completionTokens: TOKENS + 1 });
  await stack.settled(tenant, 30_000);
});
