/** A node alone, as a plain OpenAI server: seen through the official SDK, which must notice nothing of Sluice. */
import OpenAI from "openai";
import { request } from "node:http";
import { json } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { createScriptEngine } from "../../../gpu-node/src/engines/script/engine.ts";
import { useNode } from "./support/node.ts";

const ask = (directive: object): OpenAI.ChatCompletionMessageParam[] => [
  { role: "user", content: JSON.stringify({ script: directive }) },
];

async function client(): Promise<{ openai: OpenAI; url: string }> {
  const { url } = await useNode({ standalone: true });
  return { openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 }), url };
}

/** With headers that `fetch` keeps to itself. */
function send(
  url: string,
  headers: Record<string, string>,
  body?: string,
): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: body === undefined ? "GET" : "POST", headers }, (response) => {
      json(response).then((read) => resolve({ status: response.statusCode ?? 0, body: read }), reject);
    });
    sent.on("error", reject).end(body);
  });
}

test("the SDK reads a stream: role first, text, a finish reason, usage last", async () => {
  const { openai } = await client();
  const stream = await openai.chat.completions.create({
    model: "script",
    messages: ask({ tokens: 3 }),
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "" });
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe("0 1 2 ");
  expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop");
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 4 } });
  expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
});

test("the SDK reads a whole answer", async () => {
  const { openai } = await client();
  const answer = await openai.chat.completions.create({ model: "script", messages: ask({ tokens: 2 }) });
  expect(answer.choices[0]).toMatchObject({
    finish_reason: "stop",
    message: { role: "assistant", content: "0 1 ", refusal: null },
  });
  expect(answer.usage).toMatchObject({ completion_tokens: 3 });
});

test("a stream has no comments and nothing of the edge's in it", async () => {
  const { url } = await client();
  const body = JSON.stringify({ model: "script", messages: ask({ tokens: 2 }), stream: true });
  const text = await (await fetch(`${url}/v1/chat/completions`, { method: "POST", body })).text();
  expect(text.split("\n").every((line) => line === "" || line.startsWith("data: "))).toBe(true);
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
});

test("a bad request is an error the SDK knows, with the field's name", async () => {
  const { openai } = await client();
  const wish = openai.chat.completions.create({ model: "script", messages: ask({}), temperature: 9 });
  await expect(wish).rejects.toMatchObject({ status: 400, param: "temperature", code: "invalid_request" });
});

test("a model that is not there is a 404", async () => {
  const { openai } = await client();
  const wish = openai.chat.completions.create({ model: "gpt-9", messages: ask({}) });
  await expect(wish).rejects.toMatchObject({ status: 404, code: "model_not_found" });
});

test("an engine that dies is an error in the stream, and a 503 where nothing was sent", async () => {
  const { openai } = await client();
  const messages = ask({ tokens: 5, dieAt: 2 });
  const stream = await openai.chat.completions.create({ model: "script", messages, stream: true });
  const read = async (): Promise<void> => {
    for await (const chunk of stream) expect(chunk.object).toBe("chat.completion.chunk");
  };
  await expect(read()).rejects.toMatchObject({ code: "engine_failed" });
  await expect(
    openai.chat.completions
      .create({ model: "script", messages })
      .catch((error: { status: number }) => error.status),
  ).resolves.toBe(503);
});

test("a prompt that is cached is billed so, also where several answers are asked for and the others' slots are cold", async () => {
  const { url } = await useNode({ standalone: true, engine: { slots: 2 } });
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: "system", content: "x".repeat(900) },
    // Every slot has begun before any has a token.
    ...ask({ tokens: 3, firstMs: 100 }),
  ];
  const cachedFor = async (n: number): Promise<number | undefined> => {
    const { usage } = await openai.chat.completions.create({ model: "script", messages, n });
    return usage?.prompt_tokens_details?.cached_tokens;
  };
  expect(await cachedFor(1)).toBe(0);
  const cached = await cachedFor(1);
  expect(cached).toBeGreaterThan(900);
  expect(await cachedFor(2)).toBe(cached);
});

test("models, health and metrics answer", async () => {
  const { openai, url } = await client();
  const models = await openai.models.list();
  expect(models.data.map(({ id }) => id)).toEqual(["script"]);
  const health = await fetch(`${url}/health`);
  expect(health.status).toBe(200);
  expect(await health.json()).toMatchObject({ state: "ready", model: "script", backend: "script" });
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toContain("# TYPE sluice_node_first_token_seconds histogram");
});

describe("a page of the web that is open on the same machine", () => {
  const ways: readonly [what: string, headers: Record<string, string>, status: number, code?: string][] = [
    ["cannot send from its own origin", { origin: "https://evil.example" }, 403, "foreign_origin"],
    ["cannot send from a frame without one", { origin: "null" }, 403, "foreign_origin"],
    ["cannot send to a name of its own that points here", { host: "evil.example" }, 403, "foreign_host"],
    ["can where it is this machine's", { origin: "http://localhost:3000", host: "localhost:8080" }, 200],
    ["can by any name of loopback", { host: "[::1]:8080" }, 200],
  ];
  test.each(ways)("%s", async (_what, headers, status, code) => {
    const { url } = await useNode({ standalone: true });
    const body = JSON.stringify({ model: "script", messages: ask({ tokens: 1 }) });
    const got = await send(`${url}/v1/chat/completions`, headers, body);
    expect(got).toMatchObject({ status, body: code === undefined ? {} : { error: { code } } });
  });

  test("cannot read by such a name either", async () => {
    const { url } = await useNode({ standalone: true });
    expect((await send(`${url}/v1/models`, { host: "evil.example" })).status).toBe(403);
  });
});

test("a call that is tokenised while the node begins to drain, or its weights are replaced, is refused", async () => {
  for (const kind of ["draining", "loading"]) {
    const engine = createScriptEngine();
    const node = await useNode({ standalone: true, open: engine });
    const encode = engine.encodeChat.bind(engine);
    engine.encodeChat = async (...prompt) => {
      if (kind === "draining") node.node.life.drain(60_000);
      else node.workshop.open(createScriptEngine());
      return encode(...prompt);
    };
    const body = JSON.stringify({ model: "script", messages: ask({ tokens: 1 }) });
    const got = await send(`${node.url}/v1/chat/completions`, {}, body);
    expect(got.body).toMatchObject({ error: { code: kind } });
  }
});

test("nothing that is not a call of the edge gets an answer from a node that works for one", async () => {
  const { url } = await useNode();
  const body = JSON.stringify({ model: "script", messages: ask({ tokens: 1 }) });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body });
  expect(response.status).toBe(401);
});
