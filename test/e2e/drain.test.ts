/** An admin drains a node: what it answers goes on elsewhere, and no client notices. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform({ nodeCount: 2, regions: ["eu", "us"] });
  stack = new Stack(platform);
});
afterAll(() => platform?.[Symbol.asyncDispose]());

const TOKENS = 150;
const WORDS = Array.from({ length: TOKENS }, (_, i) => `${i} `).join("");

test("a stream and an answer in one piece move to another node, whole, each billed once", async () => {
  const streaming = await stack.tenant();
  const waiting = await stack.tenant();
  const messages = stack.script({ tokens: TOKENS, everyMs: 30, think: 0 });
  const response = await stack.post(streaming, { model: platform.model, stream: true, messages });
  const node = response.headers.get("x-sluice-node") ?? "";
  const home = response.headers.get("x-sluice-region") ?? "";
  const away = home === "eu" ? "us" : "eu";
  // Three, so that some of them are on that node, too.
  const whole = [1, 2, 3].map(async () => {
    const answer = await fetch(`${platform.baseUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${waiting.apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({ model: platform.model, messages }),
    });
    return (await answer.json()) as { choices: { message: { content: string } }[] };
  });
  await eventually("all to run", 5_000, async () => {
    const { nodes } = await stack.admin<{ nodes: { live: { load: { slotsBusy: number } } | null }[] }>(
      "GET",
      "/nodes",
    );
    return nodes.reduce((sum, { live }) => sum + (live?.load.slotsBusy ?? 0), 0) >= 4 ? true : undefined;
  });
  await stack.admin("POST", `/nodes/${node}/drain`, { graceS: 0 });
  const text = await response.text();
  const content = [...text.matchAll(/^data: (\{.*\})$/gm)]
    .map(([, json]) => JSON.parse(json ?? "") as { choices: { delta: { content?: string } }[] })
    .map((chunk) => chunk.choices[0]?.delta.content ?? "")
    .join("");
  expect(content).toBe(WORDS);
  expect(text).toMatch(new RegExp(`\n: served by ${node}/${home} node_\\w+/${away}\ndata: \\[DONE\\]\n\n$`));
  for (const answer of await Promise.all(whole)) expect(answer.choices[0]?.message.content).toBe(WORDS);
  const row = await stack.onlyRow(streaming, 10_000, ({ certainty }) => certainty === "exact");
  expect(row).toMatchObject({ ended: "stop", completionTokens: TOKENS + 1 });
  expect(row.attempts.map(({ ended }) => ended)).toEqual(["drained", "stop"]);
  await stack.settled(waiting, 10_000);
  const rows = await eventually("three bills", 10_000, async () => {
    const found = await stack.usage(waiting);
    return found.length === 3 ? found : undefined;
  });
  for (const other of rows)
    expect(other).toMatchObject({ certainty: "exact", ended: "stop", completionTokens: TOKENS + 1 });
  await stack.admin("POST", `/nodes/${node}/resume`, {});
});
