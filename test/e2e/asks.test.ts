/** What a call can ask beyond an answer, by the official SDK's own helpers, of the bundled model through the whole platform. */
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { temporaryPlatform } from "../support/platform.ts";
import { Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;
let tenant: Tenant;

beforeAll(async () => {
  platform = await temporaryPlatform({ engine: "llama" });
  stack = new Stack(platform);
  tenant = await stack.tenant();
});
afterAll(() => platform[Symbol.asyncDispose]());

const messages = [{ role: "user" as const, content: "What is 17 + 25?" }];
const plain = { model: "deepseek-chat", messages, temperature: 0 };
const Sum = z.object({ parts: z.array(z.int()).max(3), sum: z.int(), sure: z.boolean() });

test("the SDK's parse helper gets an object of the schema, without and behind thinking", async () => {
  for (const model of ["deepseek-chat", "deepseek-reasoner"]) {
    const answer = await stack.sdk(tenant).chat.completions.parse({
      ...plain,
      model,
      max_tokens: 400,
      response_format: zodResponseFormat(Sum, "sum"),
    });
    const message = answer.choices[0]?.message;
    expect(Sum.safeParse(message?.parsed).error).toBeUndefined();
    expect("reasoning_content" in (message ?? {})).toBe(model === "deepseek-reasoner");
  }
});

test("the SDK's stream helper puts a required call together, and its arguments are the schema's", async () => {
  const Arguments = z.object({ city: z.string().max(8), days: z.int() });
  const stream = stack.sdk(tenant).chat.completions.stream({
    ...plain,
    max_tokens: 200,
    tools: [zodFunction({ name: "forecast", parameters: Arguments })],
    tool_choice: "required",
    parallel_tool_calls: false,
    stream_options: { include_usage: true },
  });
  const grown: string[] = [];
  stream.on("tool_calls.function.arguments.delta", ({ arguments: text }) => void grown.push(text));
  const answer = await stream.finalChatCompletion();
  const choice = answer.choices[0];
  expect(choice?.finish_reason).toBe("tool_calls");
  expect(choice?.message.content ?? "").toBe("");
  const call = choice?.message.tool_calls?.[0];
  if (call?.type !== "function") throw new Error("no call of a function");
  expect(call.id).toMatch(/^call_/);
  expect(call.function.name).toBe("forecast");
  expect(Arguments.safeParse(call.function.parsed_arguments).error).toBeUndefined();
  expect(grown.length).toBeGreaterThan(1);
});

test("log probabilities come in both forms, as bytes too, and name what was said", async () => {
  const sdk = stack.sdk(tenant);
  const whole = await sdk.chat.completions.create({ ...plain, logprobs: true, top_logprobs: 3 });
  const said = whole.choices[0]?.logprobs?.content ?? [];
  const text = Buffer.concat(said.map(({ bytes }) => Buffer.from(bytes ?? []))).toString();
  expect(text).toBe(whole.choices[0]?.message.content);
  expect(said.every(({ logprob, top_logprobs: top }) => logprob <= 0 && top.length === 3)).toBe(true);
  expect(said[0]?.top_logprobs[0]).toMatchObject({ token: said[0]?.token, logprob: said[0]?.logprob });
  const streamed: typeof said = [];
  for await (const chunk of await sdk.chat.completions.create({
    ...plain,
    logprobs: true,
    top_logprobs: 3,
    stream: true,
  }))
    streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
  expect(streamed).toEqual(said);
});

test("several answers come side by side in one stream, and are one bill", async () => {
  const asker = await stack.tenant();
  const stream = await stack.sdk(asker).chat.completions.create({
    ...plain,
    temperature: 1.5,
    seed: 3,
    n: 3,
    max_tokens: 30,
    stream: true,
    stream_options: { include_usage: true },
  });
  const texts = ["", "", ""];
  const finishes: (string | undefined)[] = [];
  let completionTokens = 0;
  for await (const chunk of stream) {
    for (const { index, delta, finish_reason: reason } of chunk.choices) {
      texts[index] += delta.content ?? "";
      if (reason !== null) finishes[index] = reason;
    }
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
  }
  expect(texts.every((text) => text !== "")).toBe(true);
  expect(finishes.filter((reason) => reason !== undefined)).toHaveLength(3);
  const row = await stack.onlyRow(asker, 5_000);
  expect(row).toMatchObject({ certainty: "exact", completionTokens });
  expect(row.attempts).toHaveLength(1);
});

test("an answer given in part is continued, and only what follows comes back", async () => {
  const whole = await stack.sdk(tenant).chat.completions.create(plain);
  const text = whole.choices[0]?.message.content ?? "";
  const given = text.slice(0, 7);
  const rest = await stack.sdk(tenant).chat.completions.create({
    ...plain,
    messages: [...messages, { role: "assistant", content: given, prefix: true } as never],
  });
  expect(rest.choices[0]?.message.content?.length).toBeGreaterThan(0);
  expect(rest.choices[0]?.message.content).not.toContain(given);
});

test("a text is completed as it stands, streamed and not, with its log probabilities", async () => {
  const ask = { model: "deepseek-chat", prompt: "1, 2, 3, ", max_tokens: 12, temperature: 0, logprobs: 2 };
  const whole = await stack.sdk(tenant).completions.create(ask);
  expect(whole.object).toBe("text_completion");
  expect(whole.id).toMatch(/^cmpl-/);
  const choice = whole.choices[0];
  expect(choice?.text).not.toBe("");
  expect(choice?.logprobs?.tokens?.join("")).toBe(choice?.text);
  let streamed = "";
  for await (const chunk of await stack.sdk(tenant).completions.create({ ...ask, stream: true }))
    streamed += chunk.choices[0]?.text ?? "";
  expect(streamed).toBe(choice?.text);
});

test("a chat's tokens are counted exactly, free of charge", async () => {
  const asker = await stack.tenant();
  const chat = {
    model: "deepseek-chat",
    messages: [{ role: "system", content: "Be brief. ".repeat(40) }, ...messages],
  };
  const response = await fetch(`${platform.baseUrl}/v1/tokenize`, {
    method: "POST",
    headers: { authorization: `Bearer ${asker.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(chat),
  });
  expect(response.status).toBe(200);
  const counted = (await response.json()) as { count: number };
  expect(await stack.settled(asker, 5_000)).toBe(10_000_000_000);
  const answer = await stack.sdk(asker).chat.completions.create({ ...plain, ...(chat as typeof plain) });
  expect(counted).toMatchObject({ object: "token_count", count: answer.usage?.prompt_tokens });
});

test("thinking is closed where its budget ends", async () => {
  const answer = await stack.sdk(tenant).chat.completions.create({
    ...plain,
    model: "deepseek-reasoner",
    thinking: { type: "enabled", budget_tokens: 6 },
  } as never);
  // The mark that closes it is a position of thinking, too.
  expect(answer.usage?.completion_tokens_details?.reasoning_tokens).toBe(7);
  expect(answer.choices[0]?.message.content).not.toBe("");
});

test.each<[string, object, string]>([
  [
    "a schema that is none",
    { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "what" } } } },
    "response_format.json_schema.schema.type",
  ],
  ["a token that the model does not have", { logit_bias: { "9999999": 1 } }, "logit_bias"],
  [
    "an image",
    { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
    "messages[0].content[0].type",
  ],
])("%s is refused by its field", async (_, more, param) => {
  const response = await stack.post(tenant, { ...plain, ...more });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error", param } });
});
