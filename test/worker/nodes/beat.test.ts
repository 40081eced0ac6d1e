/** What the edge makes of a beat: routing hears the newest, money hears every one. */
import { BeatReply } from "@sluice/protocol/beat";
import { toBase64Url } from "@sluice/protocol/bytes";
import { BEAT_BYTES_MAX } from "@sluice/protocol/limits";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { regionObject } from "../../../src/core/env.ts";
import { markRemoved } from "../../../src/db/registry.ts";
import { newRequest, receipt } from "../account/support.ts";
import { beatOf, BOOT, bootId, enrolled, RECEIPT, RENEWAL, sendBeat, sendText, settled } from "./support.ts";

const NEWER_BOOT = bootId(2_000_000);

describe("a beat", () => {
  test("makes its node live, and tells it the edge's time", async ({ expect }) => {
    const node = await enrolled("beat-live");
    const beforeMs = Date.now();
    const response = await sendBeat(node);
    expect(response.status).toBe(200);
    const reply = BeatReply.parse(await response.json());
    expect(reply.edgeTimeMs).toBeGreaterThanOrEqual(beforeMs);
    expect(reply).toMatchObject({ acks: [], commands: [] });
    expect(reply.callKeys).toBeUndefined();
    const { nodes: live } = await regionObject(env, node.region).picture();
    expect(live).toMatchObject([{ id: node.id, state: "ready", callKeyIds: ["t1"] }]);
  });

  test("has its receipts settled and acknowledged", async ({ expect }) => {
    const node = await enrolled();
    const response = await sendBeat(node, { receipts: [RECEIPT, RECEIPT], renew: [RENEWAL] });
    expect(BeatReply.parse(await response.json()).acks).toHaveLength(2);
    expect(settled.at(-1)).toEqual({ node: node.id, receipts: 2, renewals: 1 });
  });

  test("with a client's whole answer proves the model that made it: nobody has to ask the node for a token", async ({
    expect,
  }) => {
    const node = await enrolled("beat-proves");
    const endedAtMs = Date.now() - 1_000;
    const told = { ...receipt(newRequest(), "stop").receipt, weights: "w1", endedAtMs };
    await sendBeat(node, { receipts: [{ body: JSON.stringify(told), sig: RECEIPT.sig }] });
    const { nodes: live } = await regionObject(env, node.region).picture();
    expect(live).toMatchObject([{ proofs: { tiny: { provenAtMs: endedAtMs } } }]);
  });

  test("of a node that lacks the current call key brings it the keys", async ({ expect }) => {
    const node = await enrolled();
    const two = toBase64Url(new Uint8Array(32).fill(2));
    const { keys } = JSON.parse(env.SLUICE_SECRETS) as { keys: Record<string, string> };
    const rotated = { SLUICE_SECRETS: JSON.stringify({ current: "t2", keys: { ...keys, t2: two } }) };
    const before = BeatReply.parse(await (await sendBeat(node, { seq: 1 }, { env: rotated })).json());
    expect(before.callKeys?.map((key) => key.id)).toEqual(["t2", "t1"]);
    const after = await sendBeat(node, { seq: 2, callKeyIds: ["t2", "t1"] }, { env: rotated });
    expect(BeatReply.parse(await after.json()).callKeys).toBeUndefined();
  });
});

describe("receipts are settled, and nothing else of the beat counts,", () => {
  test("when the beat is a repeated one", async ({ expect }) => {
    const node = await enrolled("beat-stale");
    await sendBeat(node, { seq: 5 });
    const response = await sendBeat(node, {
      seq: 5,
      state: "draining",
      receipts: [RECEIPT],
      renew: [RENEWAL],
    });
    expect(response.status).toBe(409);
    const body = await response.json();
    expect(body).toMatchObject({ error: { code: "stale" } });
    expect(BeatReply.parse(body).acks).toHaveLength(1);
    expect(settled.at(-1)).toEqual({ node: node.id, receipts: 1, renewals: 0 });
    expect((await regionObject(env, node.region).picture()).nodes).toMatchObject([{ state: "ready" }]);
  });

  test("when it comes from the process before a restart", async ({ expect }) => {
    const node = await enrolled("beat-fenced");
    await sendBeat(node, { boot: NEWER_BOOT });
    const response = await sendBeat(node, { boot: BOOT, seq: 99, receipts: [RECEIPT] });
    expect(response.status).toBe(409);
    expect(BeatReply.parse(await response.json()).acks).toHaveLength(1);
    expect((await regionObject(env, node.region).picture()).nodes).toMatchObject([{ boot: NEWER_BOOT }]);
  });

  test("when its node was removed", async ({ expect }) => {
    const node = await enrolled("beat-removed");
    await sendBeat(node, { seq: 1 });
    await markRemoved(env, node.id, Date.now());
    await regionObject(env, node.region).remove(node.id);
    const response = await sendBeat(node, { seq: 2, receipts: [RECEIPT], renew: [RENEWAL] });
    expect(response.status).toBe(403);
    const body = await response.json();
    expect(body).toMatchObject({ error: { code: "removed" } });
    expect(BeatReply.parse(body).acks).toHaveLength(1);
    // What it still runs is still to be billed: its renewals keep those holds.
    expect(settled.at(-1)).toEqual({ node: node.id, receipts: 1, renewals: 1 });
    expect((await regionObject(env, node.region).picture()).nodes).toEqual([]);
  });

  test("when the region's object cannot be reached", async ({ expect }) => {
    const node = await enrolled("beat-away");
    const REGIONS = {
      idFromName: () => {
        throw new Error("the object is away");
      },
    } as unknown as typeof env.REGIONS;
    const response = await sendBeat(node, { receipts: [RECEIPT], renew: [RENEWAL] }, { env: { REGIONS } });
    expect(response.status).toBe(200);
    expect(BeatReply.parse(await response.json()).acks).toHaveLength(1);
    expect(settled.at(-1)).toEqual({ node: node.id, receipts: 1, renewals: 1 });
  });
});

describe("a beat is refused", () => {
  test("when the node was never enrolled", async ({ expect }) => {
    const node = await enrolled();
    expect((await sendBeat({ ...node, id: "node_0000000000" })).status).toBe(403);
  });

  test("when another key signed it, whatever it claims", async ({ expect }) => {
    const [node, thief] = [await enrolled(), await enrolled()];
    const before = settled.length;
    const forged = await sendBeat({ ...node, privateKey: thief.privateKey }, { receipts: [RECEIPT] });
    expect(forged.status).toBe(401);
    const posing = await sendText(thief, JSON.stringify(beatOf(node.id, { receipts: [RECEIPT] })));
    expect(posing.status).toBe(401);
    expect(settled).toHaveLength(before);
  });

  test("when it is signed as an enrolment", async ({ expect }) => {
    expect((await sendBeat(await enrolled(), {}, { domain: "sluice-enrol" })).status).toBe(401);
  });

  test("when it is too long, or is no beat", async ({ expect }) => {
    const node = await enrolled();
    expect((await sendText(node, " ".repeat(BEAT_BYTES_MAX + 1))).status).toBe(413);
    expect((await sendText(node, "[]")).status).toBe(400);
    expect((await sendText(node, "not json")).status).toBe(400);
    const later = { ...beatOf(node.id), v: 9, speaks: { min: 9, max: 9 } };
    expect((await sendText(node, JSON.stringify(later))).status).toBe(426);
  });
});

test("a node that the registry has and its region's object has not is taken in by its next beat", async ({
  expect,
}) => {
  const node = await enrolled("beat-healed");
  const empty = regionObject(env, "beat-healed-elsewhere");
  await env.DB.prepare("update nodes set region = ? where id = ?")
    .bind("beat-healed-elsewhere", node.id)
    .run();
  expect((await empty.picture()).nodes).toEqual([]);
  expect((await sendBeat(node)).status).toBe(200);
  expect((await empty.picture()).nodes).toMatchObject([{ id: node.id }]);
});

test("beats and their receipts are taken while D1 is away", async ({ expect }) => {
  const node = await enrolled("beat-no-d1");
  const DB = {
    prepare: () => {
      throw new Error("D1 is away");
    },
  } as unknown as typeof env.DB;
  const response = await sendBeat(node, { receipts: [RECEIPT] }, { env: { DB } });
  expect(response.status).toBe(200);
  expect(BeatReply.parse(await response.json()).acks).toHaveLength(1);
});
