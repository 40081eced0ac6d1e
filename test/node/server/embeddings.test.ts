/** Embeddings: what a call of an edge gets and what it is billed, and what a client of a node alone gets. */
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { NATURAL_ENDINGS } from "@sluice/protocol/receipt";
import { createScriptEngine } from "../../../gpu-node/src/engines/script/engine.ts";
import { probePath } from "@sluice/protocol/probe";
import { useNode } from "./support/node.ts";
import { readEvents, scripted } from "./support/reading.ts";

const DIMENSIONS = 6;
const PATH = "/v1/embeddings";
const HEAD = { dialect: "openai.embedding", stream: false, outputCeiling: 1 } as const;

type Answer = {
  readonly data: readonly { readonly index: number; readonly embedding: readonly number[] | string }[];
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
};

const engine = (change: object = {}) => ({ embedding: { dimensions: DIMENSIONS, ...change } });

function answerIn(text: string): Answer {
  const data = readRaw(text);
  if (data === undefined) throw new Error(`no answer in ${text}`);
  return JSON.parse(data) as Answer;
}

function readRaw(text: string): string | undefined {
  return text
    .split("\n")
    .find((line) => line.startsWith("data: "))
    ?.slice("data: ".length);
}

describe("a call of the edge", () => {
  test("gets a vector for each input, and a receipt that bills the prompt and no position", async () => {
    const { url, edge } = await useNode({ engine: engine() });
    const body = { model: "script", input: ["one", "two, three"] };
    const response = await edge.call(url, { body, head: HEAD });
    expect(response.status).toBe(200);
    const text = await response.text();
    const { data, usage } = answerIn(text);
    expect(data.map(({ index, embedding }) => [index, embedding.length])).toEqual([
      [0, DIMENSIONS],
      [1, DIMENSIONS],
    ]);
    expect(usage).toEqual({ prompt_tokens: 15, total_tokens: 15 });
    expect(text).toContain(": sluice prompt=15 cached=0 from=0 to=0 ended=stop\ndata: {");
    const receipt = await edge.receipt(response.request);
    expect(receipt).toMatchObject({ from: 0, to: 0, ended: "stop", prompt: 15, cached: 0, reasoning: 0 });
    expect(NATURAL_ENDINGS).toContain(receipt.ended);
  });

  test("is asked for a larger hold with the exact count, before any work", async () => {
    const { url, edge } = await useNode({ engine: engine() });
    const body = { model: "script", input: [[1, 2, 3], [4]] };
    const small = await edge.call(url, { body, head: { ...HEAD, promptCeiling: 3 } });
    expect([small.status, await small.json()]).toEqual([
      402,
      { refusal: { kind: "hold_too_small", promptTokens: 4 } },
    ]);
    const enough = await edge.call(url, { body, head: { ...HEAD, promptCeiling: 4 } });
    expect(answerIn(await enough.text()).usage.prompt_tokens).toBe(4);
  });

  test("that leaves in the middle pays what was evaluated until then", async () => {
    const { url, edge, workshop } = await useNode({ engine: engine({ everyMs: 20 }) });
    const input = Array.from({ length: 500 }, () => [1, 2, 3, 4]);
    const leave = new AbortController();
    const body = { model: "script", input };
    const response = await edge.call(url, { body, head: HEAD, signal: leave.signal });
    const [station] = workshop.stations;
    await expect.poll(() => workshop.running.prefillTokensPending(station ?? {})).toBeLessThan(1_990);
    leave.abort();
    await workshop.running.empty();
    expect(workshop.load.slotsBusy).toBe(0);
    const receipt = await edge.receipt(response.request);
    expect(receipt).toMatchObject({ ended: "client_gone", to: 0 });
    expect(receipt.prompt % 4).toBe(0);
    expect(receipt.prompt).toBeGreaterThan(0);
    expect(receipt.prompt).toBeLessThan(2_000);
  });

  test("of a node whose model makes none is refused by name", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: { model: "script", input: "x" }, head: HEAD });
    expect(await response.json()).toMatchObject({
      refusal: { kind: "unsupported_parameter", param: "model" },
    });
  });

  test("that is drained before its vectors are there hears it, and so does the receipt", async () => {
    const { url, edge, node } = await useNode({ engine: engine({ everyMs: 20 }) });
    const input = Array.from({ length: 500 }, () => [1]);
    const response = await edge.call(url, { body: { model: "script", input }, head: HEAD });
    node.life.drain(0);
    const notes = readEvents(await response.text()).notes;
    expect(notes.at(-1)).toMatchObject({ to: 0, ended: "drained" });
    expect(await edge.receipt(response.request)).toMatchObject({ to: 0, ended: "drained" });
  });
});

test("a model that makes embeddings alone is refused answers by name, and its probe is a vector", async () => {
  const only = createScriptEngine(engine());
  Object.assign(only.info, { answers: false });
  const { url, edge } = await useNode({ open: only });
  const chat = await edge.call(url, { body: scripted({ tokens: 1 }) });
  expect(await chat.json()).toMatchObject({ refusal: { kind: "unsupported_parameter", param: "model" } });
  expect((await edge.get(url, probePath("script", edge.nowMs))).status).toBe(200);
});

describe("a client of a node alone", () => {
  const alone = async (): Promise<OpenAI> => {
    const { url } = await useNode({ standalone: true, engine: engine() });
    return new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  };

  test("reads the same numbers whichever way they are written", async () => {
    const openai = await alone();
    const ask = { model: "script", input: "the same text" } as const;
    // The SDK asks for base64 by itself, and decodes it.
    const asBase64 = await openai.embeddings.create(ask);
    const asFloats = await openai.embeddings.create({ ...ask, encoding_format: "float" });
    const a = asBase64.data[0]?.embedding ?? [];
    const b = asFloats.data[0]?.embedding ?? [];
    expect(a).toHaveLength(DIMENSIONS);
    for (const [at, number] of a.entries()) expect(b[at]).toBeCloseTo(number, 7);
    expect(Math.hypot(...a)).toBeCloseTo(1, 6);
    expect(asBase64.usage).toEqual(asFloats.usage);
  });

  test.each([
    ["no input", { input: [] }, "input"],
    ["an input without tokens", { input: [[1], []] }, "input[1]"],
    ["a token the model does not have", { input: [[1], [9_999_999]] }, "input[1]"],
    [
      "an input that is too long",
      { input: ["a", Array.from({ length: 600 }, () => "x").join("")] },
      "input[1]",
    ],
    ["fewer numbers than the model gives", { input: "x", dimensions: 3 }, "dimensions"],
    ["a format nobody knows", { input: "x", encoding_format: "hex" }, "encoding_format"],
  ])("is told which field is wrong: %s", async (_what, change, param) => {
    const { url } = await useNode({ standalone: true, engine: { ...engine(), contextTokens: 512 } });
    const body = JSON.stringify({ model: "script", ...change });
    const response = await fetch(`${url}${PATH}`, { method: "POST", body });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param } }]);
  });

  test("may ask for as many dimensions as there are", async () => {
    const openai = await alone();
    const answer = await openai.embeddings.create({ model: "script", input: "x", dimensions: DIMENSIONS });
    expect(answer.data[0]?.embedding).toHaveLength(DIMENSIONS);
  });

  test("is told how many inputs have room in one answer", async () => {
    const { url } = await useNode({ standalone: true, engine: { embedding: { dimensions: 100_000 } } });
    const body = JSON.stringify({
      model: "script",
      input: Array.from({ length: 40 }, () => "x"),
      encoding_format: "float",
    });
    const response = await fetch(`${url}${PATH}`, { method: "POST", body });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("at most 10 in one call");
  });
});
