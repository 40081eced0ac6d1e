/**
 * The whole way of a request inside workerd to an upstream that is answered from here: what it is sent, what each of its answers
 * comes to, and that none of its words and no secret reaches a client or a log. There is no node at all.
 */
import { createExecutionContext, runInDurableObject, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, describe, test, vi } from "vitest";
import { app } from "../../../src/app.ts";
import { accountObject, type Env } from "../../../src/core/env.ts";
import { openUpstreamKey } from "../../../src/core/upstream-key.ts";
import { parseSecrets } from "../../../src/core/secrets.ts";
import { readBooks } from "../../../src/db/catalogue.ts";
import { eventsOf, type Account } from "../account/support.ts";
import { ask, newAccount } from "../admin/support.ts";
import { chunk, events, ORDINARY, slowUpstream, sse, type Answer } from "./told.ts";
import type { AccountObject } from "../../../src/account/account-object.ts";

const SECRET = "sk-planted-key-of-the-upstream";
const BASE = "https://api.upstream.example.com/v1";
const RATES = { inputMicroUsdPerM: 1_000_000, cachedMicroUsdPerM: 500_000, outputMicroUsdPerM: 2_000_000 };

type Sent = { readonly url: string; readonly init: RequestInit; readonly body: Record<string, unknown> };
const encoder = new TextEncoder();
let sent: Sent[] = [];
let logged: string[] = [];
let answer: Answer;
let account: string;
let key: string;

beforeAll(async () => {
  for (const model of ["overflowing", "pondering"])
    await ask("PUT", `/models/${model}`, { contextTokens: 1_000, outputTokensDefault: 100, price: RATES });
  await ask("POST", "/upstreams", {
    name: "spare",
    region: "far",
    url: BASE,
    apiKey: SECRET,
    models: [
      { model: "overflowing", as: "their-name", ...RATES },
      { model: "pondering", as: "ponders", thinks: true, ...RATES },
    ],
    features: ["tools"],
    concurrency: 2,
    policy: { trains: true, retainsDays: null },
  });
  account = await newAccount({ upstreams: "any" });
  await ask("POST", `/accounts/${account}/credits`, { creditId: "c", amountUsd: "1" });
  const { body } = await ask("POST", `/accounts/${account}/keys`, { name: "k" });
  key = body.key.secret as string;
});

beforeEach(() => {
  sent = [];
  logged = [];
  answer = () => events(sse(ORDINARY));
  for (const method of ["log", "error"] as const)
    vi.spyOn(console, method).mockImplementation((...words) => void logged.push(JSON.stringify(words)));
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init = {}) => {
    const body = JSON.parse(init.body as string) as Sent["body"];
    sent.push({ url: input as string, init, body });
    return answer(init.signal ?? undefined);
  });
});
afterEach(() => vi.restoreAllMocks());

function requestOf(change: object, headers: Record<string, string> = {}): Request {
  return new Request("https://edge.example.com/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify({
      model: "overflowing",
      temperature: 0,
      messages: [{ role: "user", content: "planted prompt" }],
      ...change,
    }),
  });
}

async function call(change: object = {}, headers: Record<string, string> = {}, vars: Partial<Env> = {}) {
  const ctx = createExecutionContext();
  const response = await app.fetch(requestOf(change, headers), { ...env, ...vars }, ctx);
  const text = await response.text();
  await waitOnExecutionContext(ctx);
  return { status: response.status, headers: response.headers, text };
}

const inside: Account["inside"] = (look) =>
  runInDurableObject(accountObject(env, account) as unknown as DurableObjectStub<AccountObject>, look);

/** The newest row of the account's log. */
async function row(): Promise<Record<string, unknown>> {
  return (await eventsOf({ inside } as Account)).at(-1) ?? {};
}

const slowly = () => slowUpstream((give) => (answer = give));

describe("an upstream", () => {
  test("is asked under its own name, with its own key, and with no header of the client's", async ({
    expect,
  }) => {
    const { status, headers, text } = await call(
      { max_tokens: 7 },
      { "x-forwarded-host": "evil.example.com" },
    );
    expect(status).toBe(200);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({
      url: `${BASE}/chat/completions`,
      init: { method: "POST", redirect: "manual" },
      body: { model: "their-name", max_tokens: 7, stream: true, stream_options: { include_usage: true } },
    });
    expect(sent[0]?.init.headers).toEqual({
      "content-type": "application/json",
      accept: "text/event-stream",
      authorization: `Bearer ${SECRET}`,
    });
    expect(JSON.parse(text)).toMatchObject({
      model: "overflowing",
      choices: [{ message: { content: "one two" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 30, completion_tokens: 3 },
    });
    expect(headers.get("x-sluice-node")).toMatch(/^upstream_/);
    expect(headers.get("x-sluice-region")).toBe("far");
    expect(await row()).toMatchObject({
      certainty: "reported",
      ended: "stop",
      promptTokens: 30,
      completionTokens: 3,
      costNanoUsd: 36_000,
      attempts: [
        { node: null, ended: "no_node" },
        { region: "far", upstreamCostNanoUsd: 36_000 },
      ],
    });
  });

  test("is named by the last comment of a stream, which has its answer in whole events", async ({
    expect,
  }) => {
    const { text } = await call({ stream: true, stream_options: { include_usage: true } });
    expect(text).toMatch(/: served by upstream_\w+\/far\ndata: \[DONE\]\n\n$/);
    expect(text).not.toContain("their-name");
  });

  test("answers what was asked before anew: its answers are not kept", async ({ expect }) => {
    await call();
    const { headers } = await call();
    expect(headers.get("x-sluice-cache")).not.toBe("hit");
    expect(sent).toHaveLength(2);
  });

  const REFUSALS: readonly (readonly [string, () => Response, number])[] = [
    ["with 429", () => new Response("planted words", { status: 429, headers: { "retry-after": "9" } }), 503],
    ["with 401", () => new Response("planted words", { status: 401 }), 503],
    ["with 400", () => new Response("planted words", { status: 400 }), 503],
    ["with 500", () => new Response("planted words", { status: 500 }), 502],
    [
      "by sending elsewhere",
      () => new Response(null, { status: 302, headers: { location: "https://evil.example.com" } }),
      502,
    ],
    ["in another format", () => Response.json({ planted: "words" }), 502],
    ["by failing before its first text", () => events(sse(['{"error":{"message":"planted words"}}'])), 502],
    ["by breaking off before its first text", () => events(sse(ORDINARY.slice(0, 1))), 502],
  ];
  test.for(REFUSALS)(
    "that refuses %s is asked once, and costs nothing",
    async ([, refuse, status], { expect }) => {
      answer = refuse;
      const got = await call({ stream: true });
      expect(got.status).toBe(status);
      expect(sent).toHaveLength(1);
      expect(await row()).toMatchObject({ costNanoUsd: 0, completionTokens: 0, chargedNanoUsd: 0 });
      expect(got.text + logged.join("\n")).not.toMatch(/planted|evil/);
    },
  );

  test("that does not take our key is told to the operator, by its status alone", async ({ expect }) => {
    answer = () => new Response("planted words", { status: 403 });
    await call();
    const { body } = await ask("GET", "/alerts?limit=50");
    const about = (body.alerts as { kind: string; subject: string; detail: string }[]).filter(
      ({ kind }) => kind === "upstream_unusable",
    );
    expect(about).toMatchObject([{ subject: expect.stringMatching(/^upstream_/) }]);
    expect(JSON.stringify(about)).not.toContain("planted");
  });

  test("that breaks off in the middle ends the stream with an error, and what came is paid for", async ({
    expect,
  }) => {
    answer = () => events(sse(ORDINARY.slice(0, 3)));
    const { text } = await call({ stream: true });
    expect(text).toContain('"content":"two"');
    expect(text).toContain('"error"');
    expect(text).not.toContain("[DONE]");
    expect(await row()).toMatchObject({ certainty: "estimated", ended: "node_lost", completionTokens: 2 });
  });

  test("whose answer in one piece breaks off gives none, and nothing is paid", async ({ expect }) => {
    answer = () => events(sse(ORDINARY.slice(0, 3)));
    expect((await call()).status).toBe(502);
    // The upstream has made it all the same: what the operator is charged there stands in the row.
    expect(await row()).toMatchObject({
      completionTokens: 0,
      costNanoUsd: 0,
      attempts: [{}, { ended: "node_lost", upstreamCostNanoUsd: expect.toSatisfy((cost) => cost > 4_000) }],
    });
  });

  test("may be silent for longer than a node, which says every second that it lives", async ({ expect }) => {
    const upstream = slowly();
    const asked = call(
      { stream: true },
      {},
      { SLUICE_TIMEOUTS: JSON.stringify({ silenceMs: 1, connectMs: 1 }) },
    );
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    // Two ticks of the clock by which nodes are given up.
    await scheduler.wait(600);
    await upstream.write(ORDINARY);
    await upstream.close();
    expect((await asked).text).toContain("data: [DONE]");
  });

  test("that was enrolled before there were fields for tags and contexts gets none, and what it says it had cached is nobody's", async ({
    expect,
  }) => {
    await ask("PUT", "/models/of-old", { contextTokens: 1_000, outputTokensDefault: 100, price: RATES });
    await env.DB.prepare(
      `insert into upstreams (id, name, region, url, models, features, concurrency, trains, kept_in, created_at_ms)
       values ('upstream_zzzzzzzzzz', 'old', 'far', ?1, ?2, '["tools","telepathy"]', 2, 1, 'far', 1)`,
    )
      .bind(BASE, JSON.stringify([{ model: "of-old", as: "old-name", thinks: false, extra: {}, ...RATES }]))
      .run();
    await ask("PUT", "/aliases/of-old-too", { model: "of-old" });
    const usage = { prompt_tokens: 30, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 20 } };
    answer = () => events(sse([...ORDINARY.slice(0, 4), JSON.stringify({ choices: [], usage }), "[DONE]"]));
    expect(await call({ model: "of-old" })).toMatchObject({ status: 200 });
    expect(Object.keys(sent[0]?.body ?? {}).toSorted()).toEqual([
      "max_tokens",
      "messages",
      "model",
      "stream",
      "stream_options",
      "temperature",
    ]);
    expect(await row()).toMatchObject({ promptTokens: 30, cachedTokens: 0 });
  });

  test("that makes no first token in time is given up, and let go of", async ({ expect }) => {
    const upstream = slowly();
    const vars = { SLUICE_TIMEOUTS: JSON.stringify({ firstTokenMs: 1, firstTokenMsPerPromptToken: 0 }) };
    const { status } = await call({ stream: true }, {}, vars);
    expect(status).toBe(504);
    expect(upstream.isAborted()).toBe(true);
    expect(await row()).toMatchObject({ ended: "timeout_first_token", costNanoUsd: 0 });
  });

  test("is let go of when its client leaves, who pays what it was sent", async ({ expect }) => {
    const upstream = slowly();
    const leave = new AbortController();
    const ctx = createExecutionContext();
    const asked = app.fetch(new Request(requestOf({ stream: true }), { signal: leave.signal }), env, ctx);
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    await upstream.write(ORDINARY.slice(0, 3));
    const response = await asked;
    await response.body?.getReader().read();
    leave.abort();
    await vi.waitFor(() => expect(upstream.isAborted()).toBe(true));
    await waitOnExecutionContext(ctx);
    expect(await row()).toMatchObject({ certainty: "estimated", ended: "client_gone", completionTokens: 2 });
  });

  test("whose answer in one piece its client does not wait for is paid for as far as it came", async ({
    expect,
  }) => {
    const upstream = slowly();
    const leave = new AbortController();
    const ctx = createExecutionContext();
    const asked = app.fetch(
      new Request(requestOf({ stream: false, max_tokens: 20 }), { signal: leave.signal }),
      env,
      ctx,
    );
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    for (let nr = 0; nr < 10; nr++) await upstream.write(ORDINARY.slice(1, 3));
    // The status is there after a second at the latest: what was written has been read by then.
    await asked;
    leave.abort();
    await vi.waitFor(() => expect(upstream.isAborted()).toBe(true));
    await waitOnExecutionContext(ctx);
    const bill = await row();
    expect(bill).toMatchObject({ certainty: "estimated", ended: "client_gone", completionTokens: 20 });
    expect(bill["promptTokens"]).toBeGreaterThan(0);
    expect(bill["chargedNanoUsd"]).toBeGreaterThan(40_000);
    expect(bill).toMatchObject({ attempts: [{}, { upstreamCostNanoUsd: bill["chargedNanoUsd"] }] });
  });

  // workerd gives up on what is never over after half a minute.
  test(
    "that has more to say than anybody reads is let go of all the same",
    { timeout: 15_000 },
    async ({ expect }) => {
      const upstream = slowly();
      const leave = new AbortController();
      const ctx = createExecutionContext();
      const asked = app.fetch(
        new Request(requestOf({ stream: true, max_tokens: 100_000 }), { signal: leave.signal }),
        env,
        ctx,
      );
      await vi.waitFor(() => expect(sent).toHaveLength(1));
      const flood = upstream.write(Array.from({ length: 900 }, () => chunk({ content: "x".repeat(2_000) })));
      flood.catch(() => undefined);
      await (await asked).body?.getReader().read();
      leave.abort();
      // Nothing of the request is left that would wait for ever.
      await waitOnExecutionContext(ctx);
      expect(upstream.isAborted()).toBe(true);
      expect(await row()).toMatchObject({ certainty: "estimated", ended: "client_gone" });
    },
  );

  test("is asked no more at once than its operator has said, and has room again when an answer ends", async ({
    expect,
  }) => {
    const release: (() => Promise<void>)[] = [];
    answer = () => {
      const { readable, writable } = new IdentityTransformStream();
      const writer = writable.getWriter();
      release.push(async () => {
        await writer.write(encoder.encode(sse(ORDINARY)));
        await writer.close();
      });
      return new Response(readable, { headers: { "content-type": "text/event-stream" } });
    };
    const two = [call({ stream: true }), call({ stream: true })];
    await vi.waitFor(() => expect(sent).toHaveLength(2));
    expect((await call({ stream: true })).status).toBe(503);
    expect(sent).toHaveLength(2);
    await Promise.all(release.map((go) => go()));
    expect((await Promise.all(two)).map(({ status }) => status)).toEqual([200, 200]);
    answer = () => events(sse(ORDINARY));
    expect((await call({ stream: true })).status).toBe(200);
  });

  test("that answers for long has its hold renewed by the Worker, as beats would", async ({ expect }) => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const upstream = slowly();
      const asked = call({ stream: true });
      await vi.waitFor(() => expect(sent).toHaveLength(1));
      await upstream.write(ORDINARY.slice(0, 3));
      const positions = (): Promise<string> =>
        inside((_, { storage }) => {
          const rows = storage.sql.exec("SELECT facts FROM slots WHERE state = 'open'").toArray();
          return JSON.stringify(rows.map(({ facts }) => JSON.parse(facts as string) as unknown));
        });
      expect(await positions()).not.toContain('"position":2');
      vi.advanceTimersByTime(15_000);
      await vi.waitFor(async () => expect(await positions()).toContain('"position":2'));
      await upstream.write(ORDINARY.slice(3));
      await upstream.close();
      expect((await asked).text).toContain("data: [DONE]");
      expect(await row()).toMatchObject({ certainty: "reported", completionTokens: 3 });
    } finally {
      vi.useRealTimers();
    }
  });

  test("is not asked for what it cannot do, nor where the request may not run", async ({ expect }) => {
    const statuses = [
      (await call({ response_format: { type: "json_object" } })).status,
      (await call({ n: 2 })).status,
      (await call({ top_k: 4 })).status,
      (await call({ thinking: { type: "enabled" } })).status,
      (await call({ model: "pondering", reasoning_effort: "low" })).status,
    ];
    expect(statuses).toEqual([503, 503, 503, 503, 503]);
    expect((await call({ model: "pondering", reasoning_effort: "high" })).status).toBe(200);
    expect((await call({}, { "x-sluice-regions": "far" })).status).toBe(200);
    expect(sent).toHaveLength(2);
  });

  test("shows its key to nobody: not in the answer, not in a log, not in what the isolate reads", async ({
    expect,
  }) => {
    answer = () => events(sse([JSON.stringify({ error: { message: SECRET } })]));
    const { text } = await call({ stream: true });
    const { upstreams = [] } = await readBooks(env, Date.now());
    expect(text + logged.join("\n") + JSON.stringify(upstreams)).not.toContain(SECRET);
    const one = upstreams.find(({ sealedKey }) => sealedKey !== null);
    const secrets = parseSecrets(env.SLUICE_SECRETS);
    expect(one && (await openUpstreamKey(secrets, one, one.sealedKey ?? ""))).toBe(SECRET);
  });
});
