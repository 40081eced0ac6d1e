/**
 * The whole way of a request inside workerd, over nodes that enrol and beat through the real routes and are answered for from
 * here. Every test has regions, nodes and a model of its own: to them, this isolate and the regions' objects are new.
 */
import { createExecutionContext, evictDurableObject, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { app } from "../../../src/app.ts";
import { regionObject, type Env } from "../../../src/core/env.ts";
import { ask, newAccount } from "../admin/support.ts";
import { beatOf, enrol, joinToken, machine, sendBeat, type TestNode } from "../nodes/support.ts";
import { EnrolAnswer } from "@sluice/protocol/enrol";

const encoder = new TextEncoder();
const PRICE = { inputMicroUsdPerM: 1_000_000, cachedMicroUsdPerM: 1_000_000, outputMicroUsdPerM: 1_000_000 };

export type FleetNode = TestNode & {
  readonly url: string;
  beat(): Promise<void>;
};

/** What a node answers to a call for a model. */
export type Answering = (model: string) => Response | Promise<Response>;

const answering = new Map<string, Answering>();
/** Who was asked for what, in order, as `<name> <model>`. */
let asked: string[] = [];

let names = 0;

/** Once per file. Calls to nodes end here; each is answered as its node was told to. */
export function answerForNodes(): void {
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const name = new URL(input as string | URL).hostname.split(".")[0] ?? "";
    const body =
      typeof init?.body === "string" ? init.body : new TextDecoder().decode(init?.body as Uint8Array);
    const model = /"model":"([^"]+)"/.exec(body)?.[1] ?? "";
    asked.push(`${name} ${model}`);
    return (answering.get(name) ?? answers())(model);
  });
}

/** An ordinary short answer. */
export function answers(text = "one two"): Answering {
  return (model) => {
    const common = { id: "chatcmpl-node", created: 1, model, system_fingerprint: "fp" };
    const usage = { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 };
    const message = { role: "assistant", content: text, refusal: null };
    const choices = [{ index: 0, message, logprobs: null, finish_reason: "stop" }];
    const whole = JSON.stringify({ ...common, object: "chat.completion", choices, usage });
    return events(`: sluice prompt=9 cached=0 from=0 to=3 ended=stop\ndata: ${whole}\n\n`);
  };
}

/** The node took the call, and its engine for this model is dead. */
export const engineDies: Answering = () =>
  events(": sluice prompt=9 cached=0 from=0 to=0 ended=engine_died\n\n");

/** Content first, and then that. */
export const diesInTheMiddle: Answering = (model) =>
  events(
    `: sluice prompt=9 cached=0 from=0 to=1\ndata: ${JSON.stringify({
      id: "chatcmpl-node",
      object: "chat.completion.chunk",
      created: 1,
      model,
      choices: [{ index: 0, delta: { role: "assistant", content: "one" }, finish_reason: null }],
    })}\n\n: sluice to=1 ended=engine_died\n\n`,
  );

export const nobodyThere: Answering = () => Promise.reject(new TypeError("connection refused"));

export function events(text: string): Response {
  return new Response(encoder.encode(text), { headers: { "content-type": "text/event-stream" } });
}

export function newName(kind: string): string {
  return `${kind}-${names++}`;
}

export async function newModel(): Promise<string> {
  const model = newName("model");
  await ask("PUT", `/models/${model}`, {
    contextTokens: 2_048,
    outputTokensDefault: 100,
    ownedBy: "us",
    price: PRICE,
  });
  return model;
}

/** A node of a region that serves these models, and has beaten once. */
export async function newNode(
  region: string,
  models: readonly string[],
  { slotsBusy = 0, answer = answers() }: { readonly slotsBusy?: number; readonly answer?: Answering } = {},
): Promise<FleetNode & { readonly name: string }> {
  const name = newName("gpu");
  const url = `https://${name}.example.com`;
  const by = await machine();
  const { node: id } = EnrolAnswer.parse(await (await enrol(by, await joinToken({ region, url }))).json());
  answering.set(name, answer);
  const node = { ...by, id, region, url, name };
  let seq = 0;
  const { load } = beatOf(id);
  const served = models.map((model) => ({ id: model, weights: model, contextTokens: 2_048, features: [] }));
  const beat = async (): Promise<void> => {
    await sendBeat(node, { seq: ++seq, models: served, load: { ...load, slotsBusy } });
  };
  await beat();
  // The catalogue hears of the region with its next change.
  await ask("PUT", `/aliases/${newName("alias")}`, { model: models[0] });
  return { ...node, beat };
}

export type Client = { readonly apiKey: string };

/** An upstream for this model, called by its own name there. */
export async function newUpstream(
  model: string,
  { inputMicroUsdPerM, answer }: { readonly inputMicroUsdPerM: number; readonly answer: Answering },
): Promise<string> {
  const name = newName("upstream");
  answering.set(name, answer);
  await ask("POST", "/upstreams", {
    name,
    region: "far",
    url: `https://${name}.example.com/v1`,
    apiKey: null,
    models: [{ model, as: name, ...PRICE, inputMicroUsdPerM }],
    concurrency: 2,
    policy: { trains: false, retainsDays: 0 },
  });
  return name;
}

export async function newClient(settings: Record<string, unknown> = {}): Promise<Client> {
  const account = await newAccount(settings);
  await ask("POST", `/accounts/${account}/credits`, { creditId: "first", amountUsd: "10" });
  const { body } = await ask("POST", `/accounts/${account}/keys`, { name: "test" });
  return { apiKey: body.key.secret as string };
}

export type Told = { readonly status: number; readonly text: string; readonly asked: readonly string[] };

/** One call. `asked`: the names of the nodes that were asked, in order, each with the model it was asked for. */
export async function chat(
  by: Client,
  model: string,
  { vars = {}, more = {} }: { readonly vars?: Partial<Env>; readonly more?: object } = {},
): Promise<Told> {
  asked = [];
  const ctx = createExecutionContext();
  const request = new Request("https://edge.example.com/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${by.apiKey}` },
    body: JSON.stringify({ model, max_tokens: 10, messages: [{ role: "user", content: "hi" }], ...more }),
  });
  const response = await app.fetch(request, { ...env, ...vars }, ctx);
  const text = await response.text();
  await waitOnExecutionContext(ctx);
  return { status: response.status, text, asked };
}

/** So many at once; `asked` as it grows, of all of them together. */
export function chats(
  by: Client,
  model: string,
  count: number,
): { readonly told: Promise<readonly Told[]>; readonly asked: readonly string[] } {
  const told = Promise.all(Array.from({ length: count }, () => chat(by, model)));
  return { told, asked };
}

/** As a deploy does it. */
export async function deployed(region: string): Promise<void> {
  await evictDurableObject(regionObject(env, region));
}
