/** What everybody may ask costs the database nothing: guesses, inventions and repetitions end in the isolate. */
import { createExecutionContext } from "cloudflare:test";
import { randomName } from "@sluice/protocol/ids";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, test, vi } from "vitest";
import { app } from "../../src/app.ts";
import { ask } from "./admin/support.ts";
import { enrol, enrolled, joinToken, machine, sendBeat } from "./nodes/support.ts";
import { newCustomer } from "./tenant/support.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

let queries = 0;
const DB = new Proxy(env.DB, {
  get: (db, name) => {
    const value: unknown = Reflect.get(db, name);
    if (name !== "prepare") return typeof value === "function" ? (value.bind(db) as unknown) : value;
    return (sql: string) => {
      queries++;
      return db.prepare(sql);
    };
  },
});

function call(path: string, init: RequestInit = {}): Promise<Response> {
  const request = new Request(`https://edge.example.com${path}`, init);
  return Promise.resolve(app.fetch(request, { ...env, DB }, createExecutionContext()));
}

/** How often each status came, and how many questions reached the database. */
async function times(count: number, make: () => Promise<Response>) {
  queries = 0;
  const statuses: Record<number, number> = {};
  for (let i = 0; i < count; i++) {
    const { status } = await make();
    statuses[status] = (statuses[status] ?? 0) + 1;
  }
  return { statuses, queries };
}

const name = (chars: number): string => randomName(chars, crypto.getRandomValues(new Uint8Array(chars)));

function nextSecond(): void {
  vi.setSystemTime(Math.ceil((Date.now() + 1) / 1_000) * 1_000);
}

describe("a beat under an invented id", () => {
  const invented = () =>
    call("/node/v1/beat", {
      method: "POST",
      body: "{}",
      headers: { "x-sluice-node": `node_${name(10)}`, "x-sluice-signature": "x" },
    });

  test("is looked up so often a second, and nodes that are known here beat on meanwhile", async ({
    expect,
  }) => {
    const node = await enrolled("strangers");
    await sendBeat(node);
    nextSecond();
    expect(await times(60, invented)).toEqual({ statuses: { 403: 50, 503: 10 }, queries: 50 });
    expect((await sendBeat(node, { seq: 2 })).status).toBe(200);
    nextSecond();
    expect((await times(1, invented)).statuses).toEqual({ 403: 1 });
  });
});

test("invented join tokens are looked up so often a second", async ({ expect }) => {
  const by = await machine();
  nextSecond();
  const attempt = () => enrol(by, `sluice-join-invented-${name(10)}`, { env: { DB } });
  expect(await times(60, attempt)).toEqual({ statuses: { 403: 50, 503: 10 }, queries: 50 });
  nextSecond();
  expect((await enrol(by, await joinToken())).status).toBe(200);
});

describe("the nodes' public keys", () => {
  const KEYS = "/.well-known/sluice-node-keys.json";
  const idsAt = async (path: string) =>
    (await (await call(path)).json<{ keys: { kid: string }[] }>()).keys.map(({ kid }) => kid);

  test("are read once a minute, however many ask", async ({ expect }) => {
    const before = await enrolled("keys");
    expect(await times(20, () => call(KEYS))).toEqual({ statuses: { 200: 20 }, queries: 1 });
    expect(await idsAt(KEYS)).toContain(before.id);
    expect(await times(20, () => call(`${KEYS}?node=${before.id}`))).toMatchObject({ queries: 0 });
    const after = await enrolled("keys");
    expect(await idsAt(`${KEYS}?node=${after.id}`)).toEqual([after.id]);
    vi.setSystemTime(Date.now() + 60_000);
    expect(await idsAt(KEYS)).toContain(after.id);
  });

  test("are those of a minute ago while the database is away", async ({ expect }) => {
    const ids = await idsAt(KEYS);
    vi.setSystemTime(Date.now() + 60_000);
    const away = new Proxy(env.DB, {
      get: () => {
        throw new Error("D1 is away");
      },
    });
    const request = new Request(`https://edge.example.com${KEYS}`);
    const response = await app.fetch(request, { ...env, DB: away }, createExecutionContext());
    expect((await response.json<{ keys: { kid: string }[] }>()).keys.map(({ kid }) => kid)).toEqual(ids);
  });

  test("of invented nodes are looked up so often a second; of what is no node, never", async ({ expect }) => {
    nextSecond();
    const asked = await times(30, () => call(`${KEYS}?node=node_${name(10)}`));
    expect(asked).toEqual({ statuses: { 200: 20, 503: 10 }, queries: 20 });
    // The list is due anew (those before us were ahead of the clock), and is not theirs to take away.
    vi.setSystemTime(Date.now() + 600_000);
    await times(30, () => call(`${KEYS}?node=node_${name(10)}`));
    expect(await times(1, () => call(KEYS))).toEqual({ statuses: { 200: 1 }, queries: 1 });
    nextSecond();
    expect(await times(2, () => call(`${KEYS}?node=everything`))).toEqual({
      statuses: { 400: 2 },
      queries: 0,
    });
  });
});

test("guessed admin keys are looked up so often a second; those that have been here come in meanwhile", async ({
  expect,
}) => {
  const { body } = await ask("POST", "/admin-keys", { name: "k", scopes: ["accounts:read"] });
  const as = (secret: string) =>
    call("/admin/v1/accounts", { headers: { authorization: `Bearer ${secret}` } });
  const { secret } = body.adminKey as { secret: string };
  expect((await as(secret)).status).toBe(200);
  nextSecond();
  const guess = () => as(`sk-admin-${name(10)}-${name(32)}`);
  expect(await times(30, guess)).toEqual({ statuses: { 401: 20, 503: 10 }, queries: 20 });
  expect((await as(secret)).status).toBe(200);
  expect((await as(env.SLUICE_ADMIN_TOKEN)).status).toBe(200);
});

test("an account asks the books so often a minute, and no other one waits for it", async ({ expect }) => {
  const [eager, other] = [await newCustomer(), await newCustomer()];
  const usage = (secret: string) =>
    call("/v1/usage?bucket_width=1m&limit=1440", { headers: { authorization: `Bearer ${secret}` } });
  expect((await times(65, () => usage(eager.secret))).statuses).toEqual({ 200: 60, 429: 5 });
  const refused = await usage(eager.secret);
  expect([refused.headers.get("retry-after"), refused.headers.get("x-should-retry")]).toEqual(["1", "true"]);
  expect((await usage(other.secret)).status).toBe(200);
  vi.setSystemTime(Date.now() + 1_000);
  expect((await usage(eager.secret)).status).toBe(200);
});
