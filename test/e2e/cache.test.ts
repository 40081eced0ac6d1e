/** The answer cache as clients meet it: the same question costs a node once, and nobody ever gets another's answer. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform();
  stack = new Stack(platform);
  await stack.serving();
});
afterAll(() => platform[Symbol.asyncDispose]());

type Whole = {
  id: string;
  created: number;
  model: string;
  choices: { message: { content: string }; finish_reason: string }[];
  usage: { completion_tokens: number; completion_tokens_details: { reasoning_tokens: number } };
};

/** A question of its own each time, so that no test meets another's answers; `same` makes it the same again. */
function question(more: Record<string, unknown> = {}, directive: Record<string, unknown> = {}) {
  const messages = stack.script({ tokens: 6, think: 2, ...directive });
  return { model: platform.model, temperature: 0, max_tokens: 100, messages, ...more };
}

const withHeader = (value: string, tenant: Tenant): RequestInit => ({
  headers: {
    authorization: `Bearer ${tenant.apiKey}`,
    "content-type": "application/json",
    "x-sluice-cache": value,
  },
});

async function ask(tenant: Tenant, body: unknown, init?: RequestInit) {
  const response = await stack.post(tenant, body, init);
  const text = await response.text();
  return { status: response.status, cache: response.headers.get("x-sluice-cache"), response, text };
}

/** The rows of an account once there are so many. */
function rows(tenant: Tenant, count: number) {
  return eventually(`${count} rows of ${tenant.account}`, 10_000, async () => {
    const found = await stack.usage(tenant);
    return found.length === count ? found : undefined;
  });
}

describe("the same question again", () => {
  test("is answered from the cache: same words and numbers, a new id, its age, and a row that costs nothing", async () => {
    const tenant = await stack.tenant();
    const first = await ask(tenant, question());
    const second = await ask(tenant, question());
    expect([first.cache, second.cache]).toEqual(["miss", "hit"]);
    expect(second.response.headers.get("x-sluice-cache-layer")).toBe("memory");
    expect(second.response.headers.get("age")).toMatch(/^\d+$/);
    expect(second.response.headers.get("x-sluice-node")).toBeNull();
    const [a, b] = [JSON.parse(first.text) as Whole, JSON.parse(second.text) as Whole];
    expect(b.id).not.toBe(a.id);
    expect({ ...b, id: a.id, created: a.created }).toEqual(a);
    const found = await rows(tenant, 2);
    expect(found[0]).toMatchObject({
      ended: "recalled",
      certainty: "exact",
      completionTokens: a.usage.completion_tokens,
      reasoningTokens: a.usage.completion_tokens_details.reasoning_tokens,
      costNanoUsd: 0,
      attempts: [],
    });
    expect(await stack.settled(tenant, 5_000)).toBe(10_000_000_000 - (found[1]?.costNanoUsd ?? 0));
  });

  test("may be asked as a stream, under an alias, with its fields in another order", async () => {
    const tenant = await stack.tenant();
    const { text } = await ask(tenant, question());
    const whole = JSON.parse(text) as Whole;
    const { messages, ...rest } = question({ stream: true, stream_options: { include_usage: true } });
    const streamed = await ask(tenant, { messages, ...rest });
    expect(streamed.cache).toBe("hit");
    expect(streamed.response.headers.get("content-type")).toContain("text/event-stream");
    const chunks = streamed.text
      .split("\n\n")
      .filter((event) => event.startsWith("data: {"))
      .map(
        (event) =>
          JSON.parse(event.slice(6)) as { choices: { delta: { content?: string } }[]; usage: unknown },
      );
    const said = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    expect(said).toBe(whole.choices[0]?.message.content);
    expect(chunks.at(-1)?.usage).toEqual(whole.usage);
    expect(streamed.text).toMatch(/data: \[DONE\]\n\n$/);
  });

  test("asked as a stream first is the same in one piece, and its usage is the node's own", async () => {
    const tenant = await stack.tenant();
    await ask(tenant, question({ stream: true }));
    const recalled = await eventually("the stream to be kept", 5_000, async () => {
      const again = await ask(tenant, question());
      return again.cache === "hit" ? again : undefined;
    });
    const fresh = await ask(tenant, question(), withHeader("off", tenant));
    const [a, b] = [JSON.parse(recalled.text) as Whole, JSON.parse(fresh.text) as Whole];
    const {
      prompt_tokens_details: _,
      prompt_cache_hit_tokens: __,
      prompt_cache_miss_tokens: ___,
      ...usage
    } = {
      ...(a.usage as unknown as Record<string, unknown>),
    };
    expect(b.usage).toMatchObject(usage);
    expect(a.choices).toEqual(b.choices);
  });
});

describe("nobody gets another's answer", () => {
  test("not another account, and not another user of the same account", async () => {
    const [one, other] = [await stack.tenant(), await stack.tenant()];
    expect((await ask(one, question({ user_id: "alice" }))).cache).toBe("miss");
    expect((await ask(one, question({ user_id: "bob" }))).cache).toBe("miss");
    expect((await ask(one, question())).cache).toBe("miss");
    expect((await ask(other, question({ user_id: "alice" }))).cache).toBe("miss");
    expect((await ask(one, question({ user_id: "alice" }))).cache).toBe("hit");
  });

  test("nor does a revoked key; an empty purse still gets what is free", async () => {
    const tenant = await stack.tenant();
    const { text } = await ask(tenant, question());
    const spend = -(await stack.settled(tenant, 5_000));
    await stack.admin("POST", `/accounts/${tenant.account}/credits`, {
      creditId: "spent",
      amountNanoUsd: spend,
    });
    expect((await ask(tenant, question({ seed: 1 }))).status).toBe(402);
    const free = await ask(tenant, question());
    expect(free).toMatchObject({ status: 200, cache: "hit" });
    expect((JSON.parse(free.text) as Whole).choices).toEqual((JSON.parse(text) as Whole).choices);
    await stack.admin("DELETE", `/accounts/${tenant.account}/keys/${tenant.keyId}`);
    expect((await ask(tenant, question())).status).toBe(401);
  });
});

describe("who may say otherwise", () => {
  test("the request: off, read, write, refresh, and a mistake is told", async () => {
    const tenant = await stack.tenant();
    const say = (value: string, body = question()) => ask(tenant, body, withHeader(value, tenant));
    expect((await say("read")).cache).toBeNull();
    expect((await say("read")).cache).toBeNull();
    expect((await say("write")).cache).toBe("miss");
    expect((await say("off")).cache).toBeNull();
    expect((await say("refresh")).cache).toBe("miss");
    expect((await say("read")).cache).toBe("hit");
    expect((await say("write;ttl=600")).cache).toBe("hit");
    const wrong = await say("please");
    expect(wrong.status).toBe(400);
    expect(wrong.text).toContain("x-sluice-cache");
  });

  test("a request that samples is kept only if it asks", async () => {
    const tenant = await stack.tenant();
    const sampled = question({ temperature: 1 });
    expect((await ask(tenant, sampled)).cache).toBeNull();
    expect((await ask(tenant, sampled)).cache).toBeNull();
    expect((await ask(tenant, sampled, withHeader("write", tenant))).cache).toBe("miss");
    expect((await ask(tenant, sampled, withHeader("read", tenant))).cache).toBe("hit");
  });

  test("the account, and whoever forgets its answers", async () => {
    const tenant = await stack.tenant();
    const path = `/accounts/${tenant.account}`;
    await ask(tenant, question());
    await stack.admin("PATCH", path, { cache: { mode: "off" } });
    expect((await ask(tenant, question())).cache).toBeNull();
    await stack.admin("PATCH", path, { cache: null });
    expect((await ask(tenant, question())).cache).toBe("hit");
    for (const body of [{}, { model: platform.model }]) {
      await stack.admin("POST", `${path}/cache/purge`, body);
      expect((await ask(tenant, question())).cache).toBe("miss");
      expect((await ask(tenant, question())).cache).toBe("hit");
    }
  });
});

describe("what is not kept", () => {
  test("an answer that was cut by a ceiling nobody asked for", async () => {
    const tenant = await stack.tenant({ creditNanoUsd: 2_000_000 });
    const body = { ...question({}, { tokens: 5_000 }), max_tokens: undefined };
    const first = JSON.parse((await ask(tenant, body)).text) as Whole;
    expect(first.choices[0]?.finish_reason).toBe("length");
    await stack.admin("POST", `/accounts/${tenant.account}/credits`, { creditId: "more", amountUsd: "1" });
    expect((await ask(tenant, body)).cache).toBe("miss");
  });
});

test("a hundred identical questions at once are one call to a node", async () => {
  const tenant = await stack.tenant({ creditUsd: "1000" });
  const body = question({}, { tokens: 8, everyMs: 150 });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => ask(tenant, { ...body, stream: i % 2 === 0 })),
  );
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  const texts = answers.filter((_, i) => i % 2 === 1).map(({ text }) => JSON.parse(text) as Whole);
  expect(new Set(texts.map((whole) => whole.choices[0]?.message.content)).size).toBe(1);
  expect(new Set(texts.map((whole) => whole.id)).size).toBe(50);
  const found = await rows(tenant, 100);
  expect(found.filter((row) => row.ended === "recalled")).toHaveLength(99);
  expect(found.filter((row) => row.attempts.some(({ node }) => node !== null))).toHaveLength(1);
  await stack.settled(tenant, 5_000);
});

test("if the first of several identical requests is given up, another takes its place", async () => {
  const tenant = await stack.tenant();
  const body = question({ stream: true }, { tokens: 10, everyMs: 200 });
  const leaving = new AbortController();
  const first = await stack.post(tenant, body, { signal: leaving.signal });
  expect(first.status).toBe(200);
  const others = Array.from({ length: 5 }, () => ask(tenant, body));
  await eventually("the others to be admitted", 5_000, async () =>
    (await stack.status(tenant)).holdsOpen === 6 ? true : undefined,
  );
  leaving.abort();
  const answers = await Promise.all(others);
  for (const { text } of answers) expect(text).toMatch(/data: \[DONE\]\n\n$/);
  const found = await rows(tenant, 6);
  const endings = found.map(({ ended }) => ended).toSorted();
  expect(endings).toEqual(["client_gone", ...Array<string>(4).fill("recalled"), "stop"]);
});

test("who has waited ten seconds for an identical request goes alone, kept company by keep-alives", async () => {
  const tenant = await stack.tenant();
  // Slow enough to be at it still when the wait is over.
  const body = question({ stream: true }, { tokens: 40, think: 0, everyMs: 400 });
  const leaving = new AbortController();
  const leader = await stack.post(tenant, body, { signal: leaving.signal });
  expect(leader.status).toBe(200);
  const follower = await stack.post(tenant, body, { signal: leaving.signal });
  const heard = await until(follower, "data: ");
  expect(heard).toContain(": keep-alive\n\n: keep-alive\n\n");
  expect(heard).not.toContain("[DONE]");
  // Its words are a node's own, and the first request is not over yet.
  expect((await stack.status(tenant)).holdsOpen).toBe(2);
  leaving.abort();
  await leader.body?.cancel().catch(() => undefined);
  const found = await rows(tenant, 2);
  expect(found.filter((row) => row.attempts.some(({ node }) => node !== null))).toHaveLength(2);
});

/** What comes of a stream up to some text in it. */
async function until(response: Response, text: string): Promise<string> {
  const decoder = new TextDecoder();
  let heard = "";
  for await (const bytes of response.body ?? []) {
    heard += decoder.decode(bytes, { stream: true });
    if (heard.includes(text)) break;
  }
  return heard;
}
