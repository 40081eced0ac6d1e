/**
 * The whole way of a request inside workerd, with the operations of the answer cache counted as they reach Workers KV and the Cache
 * API, and a node whose every call is counted and answered from here.
 */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { app } from "../../../src/app.ts";
import { answerMemory } from "../../../src/cache/memory.ts";
import { ask, newAccount } from "../admin/support.ts";
import { enrolled, sendBeat } from "../nodes/support.ts";

export const MODEL = "tiny";
const CACHE_ORIGIN = "https://answers.sluice.invalid/";

export type Counted = { match: number; get: number; coloPut: number; kvPut: number; node: number };

const NOTHING: Counted = { match: 0, get: 0, coloPut: 0, kvPut: 0, node: 0 };
const counted: Counted = { ...NOTHING };

/** How the far layers are today. */
export const weather = { kv: "up", colo: "up" } as { kv: Weather; colo: Weather };
type Weather = "up" | "down" | "slow";
const SLOW_MS = 2_000;

async function weathered<T>(how: Weather, work: () => Promise<T>): Promise<T> {
  if (how === "down") throw new Error("the layer is away");
  if (how === "slow") await scheduler.wait(SLOW_MS);
  return work();
}

const isAnswer = (name: string): boolean => name.startsWith("answer/");

/** KV with the answer cache's operations counted, and its weather. */
const KV = {
  get: (name: string, options: KVNamespaceGetOptions<"arrayBuffer">) => {
    if (!isAnswer(name)) return env.KV.get(name, options);
    counted.get++;
    return weathered(weather.kv, () => env.KV.get(name, options));
  },
  put: (name: string, value: ArrayBuffer, options: KVNamespacePutOptions) => {
    if (!isAnswer(name)) return env.KV.put(name, value, options);
    counted.kvPut++;
    return weathered(weather.kv, () => env.KV.put(name, value, options));
  },
} as unknown as KVNamespace;

/** Every key of the Cache API that was written, so that it can be emptied. */
const coloKeys = new Set<string>();

function urlOf(key: RequestInfo | URL): string {
  return key instanceof Request ? key.url : key.toString();
}

function answerOf(stream: boolean): string {
  const common = { id: "chatcmpl-node", created: 1, model: MODEL, system_fingerprint: "fp" };
  const usage = { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 };
  if (!stream) {
    const message = { role: "assistant", content: "one two", refusal: null };
    const choice = { index: 0, message, logprobs: null, finish_reason: "stop" };
    const whole = { ...common, object: "chat.completion", choices: [choice], usage };
    return `: sluice prompt=9 cached=0 from=0 to=3 ended=stop\ndata: ${JSON.stringify(whole)}\n\n`;
  }
  const chunk = (delta: object, finish: string | null): string =>
    JSON.stringify({
      ...common,
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    });
  return (
    `: sluice prompt=9 cached=0 from=0 to=2\ndata: ${chunk({ role: "assistant", content: "one two" }, null)}\n\n` +
    `: sluice to=3\ndata: ${chunk({}, "stop")}\n\n` +
    ": sluice to=3 reasoning=0 ended=stop\ndata: [DONE]\n\n"
  );
}

/** The node is alive: nobody routes to one that has been silent for seconds. */
let beat = async (): Promise<void> => undefined;

/** Opens the platform: a model, a node that beats, the counters. Once per file. */
export async function openPlatform(): Promise<void> {
  const match = caches.default.match.bind(caches.default);
  const put = caches.default.put.bind(caches.default);
  vi.spyOn(caches.default, "match").mockImplementation((key, options) => {
    if (urlOf(key).startsWith(CACHE_ORIGIN)) counted.match++;
    return weathered(weather.colo, () => match(key, options));
  });
  vi.spyOn(caches.default, "put").mockImplementation((key, response) => {
    const url = urlOf(key);
    if (url.startsWith(CACHE_ORIGIN)) counted.coloPut++;
    coloKeys.add(url);
    return weathered(weather.colo, () => put(key, response));
  });
  vi.spyOn(globalThis, "fetch").mockImplementation(async (_, init) => {
    counted.node++;
    const body = new TextDecoder().decode(init?.body as Uint8Array);
    return new Response(answerOf(body.includes('"stream":true')), {
      headers: { "content-type": "text/event-stream" },
    });
  });
  const price = {
    inputMicroUsdPerM: 1_000_000,
    cachedMicroUsdPerM: 1_000_000,
    outputMicroUsdPerM: 1_000_000,
  };
  await ask("PUT", `/models/${MODEL}`, {
    contextTokens: 2_048,
    outputTokensDefault: 100,
    ownedBy: "us",
    price,
  });
  const node = await enrolled("here");
  let seq = 0;
  beat = async () => {
    const features = ["n", "logprobs"];
    await sendBeat(node, {
      seq: ++seq,
      models: [{ id: MODEL, weights: "w1", contextTokens: 2_048, features }],
    });
  };
  await beat();
  // The catalogue has learnt of the region only now.
  await ask("PUT", "/aliases/tiny-chat", { model: MODEL });
}

export type Client = { readonly account: string; readonly apiKey: string };

export async function client(settings: Record<string, unknown> = {}): Promise<Client> {
  const account = await newAccount(settings);
  await ask("POST", `/accounts/${account}/credits`, { creditId: "first", amountUsd: "10" });
  const { body } = await ask("POST", `/accounts/${account}/keys`, { name: "test" });
  return { account, apiKey: body.key.secret as string };
}

export type Answered = {
  readonly status: number;
  readonly cache: string | null;
  readonly layer: string | null;
  readonly text: string;
  readonly ms: number;
  /** What it took, the writes after the answer included. */
  readonly took: Counted;
};

export async function chat(
  by: Client,
  body: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<Answered> {
  await beat();
  Object.assign(counted, NOTHING);
  const ctx = createExecutionContext();
  const request = new Request("https://edge.example.com/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${by.apiKey}`, ...headers },
    body: JSON.stringify({
      model: MODEL,
      temperature: 0,
      max_tokens: 10,
      messages: [{ role: "user", content: "hi" }],
      ...body,
    }),
  });
  const startedMs = Date.now();
  const response = await app.fetch(request, { ...env, KV }, ctx);
  const text = await response.text();
  const ms = Date.now() - startedMs;
  await waitOnExecutionContext(ctx);
  return {
    status: response.status,
    cache: response.headers.get("x-sluice-cache"),
    layer: response.headers.get("x-sluice-cache-layer"),
    text,
    ms,
    took: { ...counted },
  };
}

/** As another isolate of the same data centre. */
export function newIsolate(): void {
  answerMemory.clear();
}

/** As another data centre. */
export async function newDataCentre(): Promise<void> {
  newIsolate();
  await Promise.all([...coloKeys].map((key) => caches.default.delete(key)));
}

/** What KV has of answers. */
export async function keptInKv(): Promise<readonly string[]> {
  const { keys } = await env.KV.list({ prefix: "answer/" });
  return keys.map(({ name }) => name);
}
