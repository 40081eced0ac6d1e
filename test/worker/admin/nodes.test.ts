/** The fleet from the admin's chair: inviting, looking, draining, removing. The machine speaks the real protocol. */
import { BeatReply } from "@sluice/protocol/beat";
import { EnrolAnswer } from "@sluice/protocol/enrol";
import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { regionObject } from "../../../src/core/env.ts";
import { beatOf, enrol, machine, RECEIPT, sendBeat, type TestNode } from "../nodes/support.ts";
import { ask } from "./support.ts";

let regions = 0;

async function invited(): Promise<TestNode> {
  const region = `admin-nodes-${regions++}`;
  const { body } = await ask("POST", "/nodes/join-tokens", {
    name: "gpu",
    region,
    url: "https://gpu.example.com/",
  });
  const by = await machine();
  const answer = EnrolAnswer.parse(await (await enrol(by, body.joinToken)).json());
  return { ...by, id: answer.node, region };
}

async function listed(id: string) {
  const { body } = await ask("GET", "/nodes?limit=200");
  return body.nodes.find((node: { id: string }) => node.id === id);
}

describe("a join token", () => {
  test("makes exactly the node it was made for, which is live with its first beat", async ({ expect }) => {
    const node = await invited();
    expect(await listed(node.id)).toMatchObject({
      name: "gpu",
      region: node.region,
      url: "https://gpu.example.com",
      live: null,
    });
    await sendBeat(node);
    expect((await listed(node.id)).live).toMatchObject({ state: "ready", models: [{ id: "tiny" }] });
  });

  test("is stored as a hash alone", async ({ expect }) => {
    const { body } = await ask("POST", "/nodes/join-tokens", {
      name: "g",
      region: "r",
      url: "https://g.example.com",
    });
    const { results } = await env.DB.prepare("select * from join_tokens").all();
    expect(JSON.stringify(results)).not.toContain(body.joinToken);
  });

  const WRONG = [
    [{ url: "http://gpu.example.com" }, "url"],
    [{ url: "https://gpu.example.com/v1" }, "url"],
    [{ region: "No Region" }, "region"],
    [{ expiresInS: 1 }, "expiresInS"],
  ] as const;
  test.for(WRONG)("for %j is refused", async ([changes, param], { expect }) => {
    const input = { name: "g", region: "r", url: "https://g.example.com", ...changes };
    const { status, body } = await ask("POST", "/nodes/join-tokens", input);
    expect({ status, param: body.error.issues[0].param }).toEqual({ status: 400, param });
  });

  test("for plain http on loopback is for local runs alone", async ({ expect }) => {
    const input = { name: "g", region: "r", url: "http://127.0.0.1:9000" };
    expect((await ask("POST", "/nodes/join-tokens", input)).status).toBe(201);
    const deployed = { env: { SLUICE_DEV: "0" } };
    expect((await ask("POST", "/nodes/join-tokens", input, deployed)).status).toBe(400);
  });
});

describe("a node", () => {
  test("is drained and taken into service again, by way of its beats", async ({ expect }) => {
    const node = await invited();
    await sendBeat(node, { seq: 1 });
    const { body } = await ask("POST", `/nodes/${node.id}/drain`, { graceS: 60 });
    expect((await listed(node.id)).live.state).toBe("draining");
    const told = BeatReply.parse(await (await sendBeat(node, { seq: 2 })).json());
    expect(told.commands).toEqual([{ do: "drain", deadlineMs: body.deadlineMs }]);
    await ask("POST", `/nodes/${node.id}/resume`);
    const again = BeatReply.parse(await (await sendBeat(node, { seq: 3, state: "draining" })).json());
    expect(again.commands).toEqual([{ do: "resume_service" }]);
  });

  test("that works is not removed by accident", async ({ expect }) => {
    const node = await invited();
    const { load } = beatOf(node.id);
    await sendBeat(node, { load: { ...load, slotsBusy: 1 } });
    expect(await ask("DELETE", `/nodes/${node.id}`)).toMatchObject({ status: 409 });
    expect(await ask("DELETE", `/nodes/${node.id}?force=true`)).toMatchObject({ status: 200 });
  });

  test("that has not been heard since a deploy is not removed for idle: it may be working", async ({
    expect,
  }) => {
    const node = await invited();
    await sendBeat(node, { seq: 1 });
    await evictDurableObject(regionObject(env, node.region));
    const { status, body } = await ask("DELETE", `/nodes/${node.id}`);
    expect([status, body.error.message]).toEqual([409, expect.stringContaining("in a second")]);
    await sendBeat(node, { seq: 2 });
    expect(await ask("DELETE", `/nodes/${node.id}`)).toMatchObject({ status: 200 });
  });

  test("that was removed is live no more, and its receipts are still taken", async ({ expect }) => {
    const node = await invited();
    await sendBeat(node, { seq: 1 });
    expect((await ask("DELETE", `/nodes/${node.id}`)).status).toBe(200);
    const late = await sendBeat(node, { seq: 2, receipts: [RECEIPT] });
    expect(late.status).toBe(403);
    expect(BeatReply.parse(await late.json()).acks).toHaveLength(1);
    expect(await listed(node.id)).toMatchObject({ live: null, removedAtMs: expect.any(Number) });
    expect((await ask("POST", `/nodes/${node.id}/drain`)).status).toBe(404);
    expect((await ask("DELETE", `/nodes/${node.id}`)).status).toBe(404);
  });
});
