/** A client that takes its time: its node is not blamed for it, and it gets all it is billed for. */
import { request, type IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

/** More than every buffer between the node and the client holds. */
const TOKENS = 300_000;

beforeAll(async () => {
  platform = await temporaryPlatform({ nodeArgs: ["--context", "1000000"] });
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());

/** Longer than a node may be silent, shorter than a client may be slow. */
const PAUSE_MS = 8_000;

test("a client that stops reading for a while loses nothing, and its stream stays on its node", async () => {
  const tenant = await stack.tenant({ creditUsd: "1000" });
  const body = JSON.stringify({
    model: platform.model,
    stream: true,
    max_tokens: TOKENS + 10,
    messages: stack.script({ tokens: TOKENS, think: 0 }),
  });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request(`${platform.baseUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${tenant.apiKey}`, "content-type": "application/json" },
    });
    asked.on("response", resolve).on("error", reject).end(body);
  });
  const decoder = new TextDecoder();
  let tail = "";
  let text = "";
  let paused = false;
  for await (const bytes of response as AsyncIterable<Uint8Array>) {
    tail += decoder.decode(bytes, { stream: true });
    if (!paused) {
      paused = true;
      response.pause();
      await delay(PAUSE_MS);
    }
    const whole = tail.lastIndexOf("\n\n") + 2;
    for (const [, json] of tail.slice(0, whole).matchAll(/^data: (\{.*\})$/gm)) {
      const chunk = JSON.parse(json ?? "") as { choices: { delta: { content?: string } }[] };
      text += chunk.choices[0]?.delta.content ?? "";
    }
    if (tail.includes("[DONE]")) text += "|done";
    tail = tail.slice(whole);
  }
  const words = text.split(" ");
  expect(words.at(-1)).toBe("|done");
  expect(words.length - 1).toBe(TOKENS);
  expect(words.findIndex((word, i) => i < TOKENS && word !== String(i))).toBe(-1);
  const row = await stack.onlyRow(tenant, 20_000);
  expect(row).toMatchObject({ certainty: "exact", ended: "stop", completionTokens: TOKENS + 1 });
  expect(row.attempts).toHaveLength(1);
});
