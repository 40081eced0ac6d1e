/** Streams as clients see them: paced when the node is paced, silent never, and honest when they cannot go on. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform();
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());
// The test before may have killed the engine.
beforeEach(() => stack.serving());

const model = (): string => platform.model;

/** Every piece of a body with the time it arrived at. */
async function arrivals(response: Response): Promise<{ text: string; atMs: number }[]> {
  const decoder = new TextDecoder();
  const pieces: { text: string; atMs: number }[] = [];
  const started = performance.now();
  for await (const bytes of response.body ?? []) {
    pieces.push({
      text: decoder.decode(bytes, { stream: true }),
      atMs: performance.now() - started,
    });
  }
  return pieces;
}

test("a paced stream arrives paced: the first event soon, the rest one after another", async () => {
  const tenant = await stack.tenant();
  const tokens = 40;
  const everyMs = 50;
  const startedMs = performance.now();
  const response = await stack.post(tenant, {
    model: model(),
    stream: true,
    messages: stack.script({ tokens, everyMs, think: 0 }),
  });
  const headersMs = performance.now() - startedMs;
  const pieces = (await arrivals(response)).filter((piece) => piece.text.includes("data:"));
  const lastMs = pieces.at(-1)?.atMs ?? 0;
  // A relay that buffers delivers everything at the end: its headers or its first event come after two seconds.
  expect(headersMs).toBeLessThan(1_000);
  expect(pieces[0]?.atMs).toBeLessThan((tokens * everyMs) / 4);
  expect(lastMs).toBeGreaterThan(tokens * everyMs * 0.8);
  expect(pieces.length).toBeGreaterThan(tokens / 2);
  const gaps = pieces.slice(1).map((piece, i) => piece.atMs - (pieces[i]?.atMs ?? 0));
  gaps.sort((a, b) => a - b);
  expect(gaps[Math.floor(gaps.length / 2)]).toBeLessThan(everyMs * 2);
});

test("the status goes out within a second or so, and silence is broken every second until the first token", async () => {
  const tenant = await stack.tenant();
  const startedMs = performance.now();
  const response = await stack.post(tenant, {
    model: model(),
    stream: true,
    messages: stack.script({ tokens: 3, firstMs: 4_000, think: 0 }),
  });
  const headersMs = performance.now() - startedMs;
  expect(response.status).toBe(200);
  expect(headersMs).toBeLessThan(1_500);
  const pieces = await arrivals(response);
  const silences = pieces.filter((piece) => piece.text.startsWith(": keep-alive"));
  expect(silences.length).toBeGreaterThanOrEqual(2);
  expect(pieces.map((piece) => piece.text).join("")).toMatch(/data: \[DONE\]\n\n$/);
});

test("an answer in one piece that takes long is blank space first, and JSON all the same", async () => {
  const tenant = await stack.tenant();
  const startedMs = performance.now();
  const response = await stack.post(tenant, {
    model: model(),
    messages: stack.script({ tokens: 3, firstMs: 3_000, think: 0 }),
  });
  expect(performance.now() - startedMs).toBeLessThan(1_500);
  const text = await response.text();
  expect(text).toMatch(/^ +\{/);
  expect(JSON.parse(text)).toMatchObject({ object: "chat.completion" });
});

test("what the client reads between the events is only ours to know, and the SDK does not mind", async () => {
  const tenant = await stack.tenant();
  const stream = await stack.sdk(tenant).chat.completions.create({
    model: model(),
    messages: [{ role: "user", content: "echo this, please" }],
    stream: true,
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  expect(text).toContain("echo this, please");
});

test("an engine that dies in the middle of a stream goes on with it when it is back, where nobody else is there", async () => {
  const tenant = await stack.tenant();
  const response = await stack.post(tenant, {
    model: model(),
    stream: true,
    messages: stack.script({ tokens: 50, everyMs: 10, dieAt: 20, think: 0 }),
  });
  expect(await response.text()).toContain("[DONE]");
  const row = await stack.onlyRow(tenant, 10_000, ({ certainty }) => certainty === "exact");
  expect(row).toMatchObject({ ended: "stop", completionTokens: 51 });
  expect(row.attempts.at(0)).toMatchObject({ ended: "engine_died", to: 20 });
  await stack.settled(tenant, 10_000);
});

test("an engine that dies again and again ends the stream with an error event and never with [DONE]", async () => {
  const tenant = await stack.tenant();
  const dieAt = Array.from({ length: 30 }, (_, i) => 20 + i);
  const response = await stack.post(tenant, {
    model: model(),
    stream: true,
    messages: stack.script({ tokens: 50, everyMs: 10, dieAt, think: 0 }),
  });
  const text = await response.text();
  expect(text).toContain('"code":"overloaded"');
  expect(text).not.toContain("[DONE]");
  expect(text).not.toContain("engine_died");
  const row = await stack.onlyRow(tenant, 10_000);
  expect(row.certainty).toBe("exact");
  const handedOver = [...text.matchAll(/^: sluice .*\bto=(\d+)/gm)].at(-1)?.[1];
  expect(row.completionTokens).toBe(Number(handedOver));
  await stack.settled(tenant, 10_000);
});

test("an answer in one piece whose engine dies has a true status, and bills nothing", async () => {
  const tenant = await stack.tenant();
  const response = await stack.post(tenant, {
    model: model(),
    messages: stack.script({ tokens: 50, dieAt: 20, think: 0 }),
  });
  expect(response.status).toBe(502);
  expect(response.headers.get("x-should-retry")).toBe("true");
  const row = await stack.onlyRow(tenant, 10_000);
  expect(row).toMatchObject({ completionTokens: 0, costNanoUsd: 0 });
});

test("an answer in one piece that fails after its status breaks off, so that no client takes it for whole", async () => {
  const tenant = await stack.tenant();
  const response = await stack.post(tenant, {
    model: model(),
    messages: stack.script({ tokens: 50, everyMs: 100, dieAt: 30, think: 0 }),
  });
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow();
  const row = await stack.onlyRow(tenant, 10_000);
  expect(row.costNanoUsd).toBe(0);
});
