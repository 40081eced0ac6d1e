/**
 * A machine that has been taken over, or a domain that has, answers every call with "look there": nothing of ours goes there, no
 * prompt, no key and no signature; and the client gets its answer elsewhere, or is told that there is none.
 */
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { joinMachine } from "../support/machine.ts";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack } from "../support/stack.ts";

const RATES = { inputMicroUsdPerM: 1, cachedMicroUsdPerM: 1, outputMicroUsdPerM: 1 };
const STATUSES = [301, 302, 303, 307, 308] as const;

type Listening = { readonly url: string; readonly seen: string[]; readonly server: Server };

async function listen(answer: (path: string) => { status: number; location?: string }): Promise<Listening> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    seen.push(`${request.method} ${path}`);
    const { status, location } = answer(path);
    request.resume();
    response.writeHead(status, location === undefined ? {} : { location }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, server };
}

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;
let elsewhere: Listening;
let taken: Listening;
let status = 302;

beforeAll(async () => {
  elsewhere = await listen(() => ({ status: 200 }));
  taken = await listen((path) => ({ status, location: elsewhere.url + path }));
  platform = await temporaryPlatform();
  stack = new Stack(platform);
});
afterAll(async () => {
  await platform?.[Symbol.asyncDispose]();
  for (const { server } of [elsewhere, taken]) server.close();
});

async function modelOf(id: string): Promise<string> {
  await stack.admin("PUT", `/models/${id}`, { contextTokens: 2_048, outputTokensDefault: 100, price: RATES });
  return id;
}

test("no call to a node follows a redirect, nor does the probe of one", async () => {
  const model = await modelOf("at-a-taken-node");
  const { joinToken } = await stack.admin<{ joinToken: string }>("POST", "/nodes/join-tokens", {
    name: "taken",
    region: "far",
    url: taken.url,
  });
  const machine = await joinMachine(platform.baseUrl, joinToken);
  const tenant = await stack.tenant();
  for (status of STATUSES) {
    await machine.beat(model);
    const before = taken.seen.length;
    const call = await eventually("the edge to know the node", 15_000, async () => {
      await machine.beat(model);
      const response = await stack.post(tenant, { model, messages: [{ role: "user", content: "hi" }] });
      const told = { status: response.status, text: await response.text() };
      return taken.seen.length > before ? told : undefined;
    });
    expect([status, call.status]).toEqual([status, 502]);
  }
  await eventually("a probe of the node", 15_000, async () => {
    await machine.beat(model);
    return taken.seen.some((path) => path.startsWith("GET /node/v1/probe")) ? true : undefined;
  });
  await stack.admin("DELETE", `/nodes/${machine.id}?force=true`);
  expect(elsewhere.seen).toEqual([]);
  expect(await stack.settled(tenant, 15_000)).toBe(10_000_000_000);
});

test("no call to an upstream follows one either", async () => {
  const model = await modelOf("at-a-taken-upstream");
  await stack.admin("POST", "/upstreams", {
    name: "taken",
    region: "far",
    url: `${taken.url}/v1`,
    apiKey: "sk-planted",
    models: [{ model, as: "theirs", ...RATES }],
    concurrency: 4,
    policy: { trains: false, retainsDays: 0 },
  });
  const tenant = await stack.tenant();
  await stack.admin("PATCH", `/accounts/${tenant.account}`, { upstreams: "any" });
  for (status of STATUSES) {
    const before = taken.seen.length;
    await eventually("the edge to know the upstream", 15_000, async () => {
      const response = await stack.post(tenant, { model, messages: [{ role: "user", content: "hi" }] });
      await response.text();
      expect(response.status).toBeGreaterThanOrEqual(500);
      return taken.seen.slice(before).includes("POST /v1/chat/completions") ? true : undefined;
    });
  }
  expect(elsewhere.seen).toEqual([]);
  expect(await stack.settled(tenant, 15_000)).toBe(10_000_000_000);
});
