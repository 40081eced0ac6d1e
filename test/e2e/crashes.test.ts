/** kill -9 of each part in the middle of an answer: the row becomes exact, and no hold is left. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform({
    engine: "llama",
    vars: { SLUICE_CLOCKS: JSON.stringify({ closeWithoutWordMs: 3_000 }) },
  });
  stack = new Stack(platform);
});
afterAll(() => platform[Symbol.asyncDispose]());

const COUNTING = [{ role: "user" as const, content: "Count from 1 to 100" }];

type Reading = { text: string; readonly done: Promise<void> };

/** Starts a long answer and reads it until `enough` has come; the rest is read in the background. */
async function begin(tenant: Tenant, enough: number): Promise<Reading> {
  const response = await stack.post(tenant, {
    model: "deepseek-chat",
    stream: true,
    temperature: 0,
    max_tokens: 2_000,
    messages: COUNTING,
  });
  const decoder = new TextDecoder();
  const reading = { text: "", done: Promise.resolve() };
  const reader = response.body?.getReader();
  const read = async (): Promise<boolean> => {
    const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
    reading.text += decoder.decode(value, { stream: true });
    return !done;
  };
  while (positions(reading.text) < enough && (await read()));
  reading.done = (async () => {
    while (await read().catch(() => false));
  })();
  return reading;
}

/** How far the client was brought, by the notes in the events it has read whole. */
function positions(text: string): number {
  const whole = text.slice(0, text.lastIndexOf("\n\n") + 2);
  const all = [...whole.matchAll(/^: sluice .*\bto=(\d+)/gm)];
  return Number(all.at(-1)?.[1] ?? 0);
}

/** How much of an answer one step of an engine and one socket can hold: what may be handed over and not be seen. */
const IN_FLIGHT_MAX = 400;

test("kill -9 of the only engine: the stream goes on when it is back, or says that it cannot, and the row is exact", async () => {
  const tenant = await stack.tenant();
  const reading = await begin(tenant, 5);
  for (const pid of platform.nodes[0]?.enginePids ?? []) process.kill(pid, "SIGKILL");
  await reading.done;
  const row = await stack.onlyRow(tenant, 15_000);
  expect(row.certainty).toBe("exact");
  if (reading.text.includes("[DONE]")) expect(row.ended).toBe("stop");
  else {
    expect(reading.text).toContain('"error"');
    expect(row.completionTokens).toBe(positions(reading.text));
  }
  await stack.settled(tenant, 15_000);
  const answer = await eventually("the engine to be back", 30_000, () =>
    stack
      .sdk(tenant)
      .chat.completions.create({
        model: "deepseek-reasoner",
        messages: [{ role: "user", content: "What is 2 + 3?" }],
        temperature: 0,
      })
      .catch(() => undefined),
  );
  expect(answer.choices[0]?.message.content).toContain("5");
});

test("kill -9 of the node: after its restart the row is exact, from its journal", async () => {
  const tenant = await stack.tenant();
  const reading = await begin(tenant, 5);
  const node = platform.nodes[0];
  if (node?.pid === undefined) throw new Error("there is no node");
  process.kill(node.pid, "SIGKILL");
  await reading.done;
  const row = await stack.onlyRow(tenant, 60_000, (candidate) => candidate.certainty === "exact");
  expect(row.completionTokens).toBeGreaterThanOrEqual(positions(reading.text));
  expect(row.completionTokens).toBeLessThanOrEqual(positions(reading.text) + IN_FLIGHT_MAX);
  await stack.settled(tenant, 30_000);
  await platform.whenNodesReady();
});

test("kill -9 of the Worker: nobody said a word, and the row is exact all the same", async () => {
  const tenant = await stack.tenant();
  const reading = await begin(tenant, 5);
  await platform.killWorker();
  await reading.done;
  await platform.restartWorker();
  const row = await stack.onlyRow(tenant, 60_000, (candidate) => candidate.certainty === "exact");
  expect(row.completionTokens).toBeGreaterThanOrEqual(positions(reading.text));
  expect(row.completionTokens).toBeLessThanOrEqual(positions(reading.text) + IN_FLIGHT_MAX);
  await stack.settled(tenant, 30_000);
});

test("after all that, the edge serves as before", async () => {
  await platform.whenNodesReady();
  const tenant = await stack.tenant();
  const answer = await stack.sdk(tenant, 2).chat.completions.create({
    model: "deepseek-reasoner",
    messages: [{ role: "user", content: "What is 20 + 22?" }],
    temperature: 0,
  });
  expect(answer.choices[0]?.message.content).toContain("42");
});
