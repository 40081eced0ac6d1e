/** What a node tells its edge and how it obeys: receipts until acknowledged, renewals, promises, commands, rotation. */
import { toBase64Url } from "@sluice/protocol/bytes";
import { CALL_VALID_MS, RENEW_FIRST_MS, RENEW_INTERVAL_MS } from "@sluice/protocol/limits";
import { expect, test } from "vitest";
import type { Attempt } from "../../../gpu-node/src/attempt/attempt.ts";
import { nameKey, Running } from "../../../gpu-node/src/attempt/running.ts";
import { useEdge, useNode } from "./support/node.ts";
import { readEvents, readerOf, readUntil, scripted } from "./support/reading.ts";

test("a receipt reaches the edge within a few tens of milliseconds, not with the next second's beat", async () => {
  const { url, edge } = await useNode();
  const response = await edge.call(url, { body: scripted({ tokens: 1 }) });
  await response.text();
  const endedAtMs = performance.now();
  await edge.receipt(response.request);
  expect(performance.now() - endedAtMs).toBeLessThan(500);
});

test("a receipt is sent again until it is acknowledged, and then no more", async () => {
  const { url, edge } = await useNode();
  edge.acking = false;
  const response = await edge.call(url, { body: scripted({ tokens: 1 }) });
  await response.text();
  const name = `${response.request}/0`;
  await edge.until(() => (edge.heard.get(name) ?? 0) >= 2, "a second copy of the receipt");
  edge.acking = true;
  const before = edge.heard.get(name) ?? 0;
  await edge.until(() => (edge.heard.get(name) ?? 0) > before, "the copy that is acknowledged");
  const beats = edge.beats.length;
  await edge.until(() => edge.beats.length >= beats + 3, "three more beats");
  expect(edge.heard.get(name)).toBe(before + 1);
});

test("a receipt that no edge will ever take is sent no more, and holds up no promise", async () => {
  const { url, edge } = await useNode();
  const head = edge.head();
  edge.rejectTickets.add(head.ticket);
  const response = await edge.call(url, { body: scripted({ tokens: 1 }), head });
  await response.text();
  await edge.receipt(head.request);
  const beats = edge.beats.length;
  await edge.until(() => edge.beats.length >= beats + 2, "two more beats");
  expect(edge.heard.get(`${head.request}/0`)).toBe(1);
  expect(await fetch(`${url}/metrics`).then((metrics) => metrics.text())).toContain(
    "sluice_node_receipts_unacknowledged 0",
  );
});

test("receipts made while the edge was away arrive when it is back", async () => {
  const { url, edge } = await useNode();
  edge.away = true;
  const response = await edge.call(url, { body: scripted({ tokens: 2 }) });
  expect(readEvents(await response.text()).finish).toBe("stop");
  edge.away = false;
  expect(await edge.receipt(response.request)).toMatchObject({ to: 3, ended: "stop" });
});

test("a running attempt is named before it is due, again until the name is acknowledged, and then later", () => {
  const running = new Running();
  const name = { request: "req_01JD8Z0K3V9QXR5T7W2Y4A6C8E", ordinal: 0, choice: 0 };
  const attempt = { position: 3 } as Attempt;
  running.add(nameKey(name), attempt, { place: {}, ticket: "its ticket" }, 0);
  const named = (atMs: number): number => running.renewals(atMs, 10).length;
  expect(named(1_000)).toBe(0);
  expect(running.renewals(RENEW_FIRST_MS - 2_000, 10)).toEqual([{ ticket: "its ticket", position: 3 }]);
  expect(named(RENEW_FIRST_MS - 1_000)).toBe(1);
  running.renewed([name], RENEW_FIRST_MS);
  expect(named(RENEW_FIRST_MS + 1_000)).toBe(0);
  expect(named(RENEW_FIRST_MS + RENEW_INTERVAL_MS)).toBe(1);
});

test("`complete through` waits for a call that nobody has acknowledged, and goes on after it", async () => {
  const { url, edge } = await useNode();
  edge.acking = false;
  const head = edge.head();
  const response = await edge.call(url, { body: scripted({ tokens: 1 }), head });
  await response.text();
  await edge.receipt(head.request);
  const bound = head.issuedAtMs + CALL_VALID_MS;
  const beats = edge.beats.length;
  await edge.until(() => edge.beats.length >= beats + 2, "two more beats");
  expect(Math.max(...edge.beats.map((beat) => beat.completeThroughMs))).toBeLessThan(bound);
  // The clock of the edge passes the call's last valid moment: the promise still does not.
  edge.aheadMs = 30_000;
  const later = edge.beats.length;
  await edge.until(() => edge.beats.length >= later + 2, "two beats later");
  expect(edge.beats.at(-1)?.completeThroughMs).toBeLessThan(bound);
  edge.acking = true;
  await edge.until(() => (edge.beats.at(-1)?.completeThroughMs ?? 0) >= bound, "a promise past the call");
});

test("a call whose time has been promised away is refused, even while it is fresh", async () => {
  const { url, edge, node } = await useNode();
  edge.aheadMs = 60_000;
  const beats = edge.beats.length;
  await edge.until(() => edge.beats.length >= beats + 3, "beats by the faster clock");
  expect(node.life.state).toBe("ready");
  const issuedAtMs = (edge.beats.at(-1)?.completeThroughMs ?? 0) - CALL_VALID_MS;
  const response = await edge.call(url, { body: scripted({ tokens: 1 }), head: { issuedAtMs } });
  expect(await response.json()).toMatchObject({ refusal: { kind: "stale" } });
});

test("the promise never falls, not even over a restart", async () => {
  const first = await useNode();
  const { edge, dataDir } = first;
  await edge.until(() => (edge.beats.at(-1)?.completeThroughMs ?? 0) > 0, "a promise");
  await first.stop();
  const promised = Math.max(...edge.beats.map((beat) => beat.completeThroughMs));
  const beats = edge.beats.length;
  await useNode({ dataDir, edge });
  expect(edge.beats[beats]?.completeThroughMs).toBeGreaterThanOrEqual(promised);
  expect(edge.beats[beats]?.boot).not.toBe(edge.beats[beats - 1]?.boot);
});

test("the edge can drain a node and take it back", async () => {
  const { url, edge, node } = await useNode();
  edge.commands = [{ do: "drain", deadlineMs: edge.nowMs + 60_000 }];
  await edge.until(() => edge.beats.at(-1)?.state === "draining", "a node that drains");
  const refused = await edge.call(url, { body: scripted({ tokens: 1 }) });
  expect(await refused.json()).toEqual({ refusal: { kind: "draining" } });
  edge.commands = [{ do: "resume_service" }];
  await edge.until(() => edge.beats.at(-1)?.state === "ready", "a node that is ready");
  expect(node.life.state).toBe("ready");
});

test("the edge can end an attempt", async () => {
  const { url, edge } = await useNode();
  const response = await edge.call(url, { body: scripted({ tokens: 9, hangAt: 3 }) });
  const reader = readerOf(response);
  await readUntil(reader, (text) => readEvents(text).to >= 3);
  edge.commands = [{ do: "abort", attempt: { request: response.request, ordinal: 0, choice: 0 } }];
  expect(await edge.receipt(response.request)).toMatchObject({ ended: "client_gone", to: 3 });
});

test("call keys can be rotated: the node takes calls under the new one and says that it holds it", async () => {
  const { url, edge } = await useNode();
  const [old] = edge.callKeys;
  const fresh = { id: "k2", key: toBase64Url(new Uint8Array(32).fill(9)) };
  edge.callKeys = old === undefined ? [fresh] : [fresh, old];
  await edge.until(
    () => edge.beats.at(-1)?.callKeyIds.includes("k2") === true,
    "a node that holds the new key",
  );
  const response = await edge.call(url, { body: scripted({ tokens: 1 }) });
  expect(response.status).toBe(200);
  await response.text();
});

test("a beat says how busy the node is and what it serves", async () => {
  const { url, edge } = await useNode({ engine: { slots: 2, contextTokens: 512 } });
  await (await edge.call(url, { body: scripted({ tokens: 20, everyMs: 2, prefillMsPerToken: 1 }) })).text();
  const leave = new AbortController();
  // Held on to: an answer that nobody refers to any more is let go by its reader's garbage collection.
  const running = await edge.call(url, { body: scripted({ tokens: 9, hangAt: 3 }), signal: leave.signal });
  await edge.until(() => edge.beats.at(-1)?.load.slotsBusy === 1, "a busy slot");
  const beat = edge.beats.at(-1);
  expect(beat?.models).toMatchObject([{ id: "script", weights: "script-1", contextTokens: 512 }]);
  expect(beat?.load).toMatchObject({ slots: 2, queued: 0, queueMax: 8, prefillTokensPending: 0 });
  expect(beat?.load.decodeTokensPerS).toBeGreaterThan(50);
  expect(beat?.load.prefillTokensPerS).toBeGreaterThan(100);
  expect(beat?.load.kvTokensFree).toBeLessThan(1_024);
  leave.abort();
  await expect(running.text()).rejects.toThrow();
});

test("nothing is taken before the edge's clock is known", async () => {
  const edge = await useEdge();
  const first = await useNode({ edge });
  await first.stop();
  edge.away = true;
  const { url, node } = await useNode({ edge, dataDir: first.dataDir });
  expect(node.life.state).toBe("loading");
  const response = await edge.call(url, { body: scripted({ tokens: 1 }) });
  expect(await response.json()).toMatchObject({ refusal: { kind: "loading" } });
});
