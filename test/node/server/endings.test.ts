/** How attempts end that do not end naturally, and what their receipts then say. */
import { IncomingMessage, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { frameCall, importCallKey, MAC_HEADER, CALL_CONTENT_TYPE, signCall } from "@sluice/protocol/call";
import { fromBase64Url, utf8 } from "@sluice/protocol/bytes";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { OUTLET_TIMES } from "../../../gpu-node/src/attempt/outlet.ts";
import type { Ledger } from "../../../gpu-node/src/attempt/plan.ts";
import { createScriptEngine } from "../../../gpu-node/src/engines/script/engine.ts";
import { parseChat } from "../../../gpu-node/src/intake/chat-body.ts";
import { openAiChat } from "../../../gpu-node/src/print/openai-chat.ts";
import { Workshop } from "../../../gpu-node/src/workshop.ts";
import { CHAT_PATH, newRequest, type TestEdge } from "./support/edge.ts";
import { useNode } from "./support/node.ts";
import { readEvents, readerOf, readUntil, scripted } from "./support/reading.ts";

/** Well under the second and a half within which an abandoned attempt has to stop. */
const STOPPED_WITHIN_MS = 1_000;

/** The headers and body of a signed call, for tests that hold the socket themselves. */
async function signed(
  edge: TestEdge,
  request: string,
  body: object,
): Promise<{ mac: string; bytes: Uint8Array }> {
  const bytes = frameCall(edge.head({ request, outputCeiling: 1_000_000 }), utf8(JSON.stringify(body)));
  const { id, key } = edge.callKeys[0] ?? { id: "", key: "" };
  const callKey = await importCallKey(fromBase64Url(key) ?? new Uint8Array());
  return { mac: await signCall(id, callKey, CHAT_PATH, bytes), bytes };
}

describe("a reader that leaves", () => {
  test("in the middle of a stream pays the positions that were written, and the slot is free at once", async () => {
    const { url, edge, workshop } = await useNode();
    const leave = new AbortController();
    const body = scripted({ endless: true, everyMs: 10 });
    const response = await edge.call(url, { body, signal: leave.signal });
    const seen = readEvents(await readUntil(readerOf(response), (text) => readEvents(text).to >= 10));
    const leftAtMs = performance.now();
    leave.abort();
    await workshop.running.empty();
    expect(performance.now() - leftAtMs).toBeLessThan(STOPPED_WITHIN_MS);
    expect(workshop.load.slotsBusy).toBe(0);
    const receipt = await edge.receipt(response.request);
    expect(receipt.ended).toBe("client_gone");
    expect(receipt.to).toBeGreaterThanOrEqual(seen.to);
    // What was not read may still have been written; but not much, in so short a time.
    expect(receipt.to).toBeLessThan(seen.to + 20);
    const journal = await edge.journal(url, response.request, 0, 1_000);
    expect(journal).toMatchObject({ from: 0, to: receipt.to, ended: "client_gone" });
    expect(journal.tokens.slice(0, seen.to)).toEqual(seen.ids);
  });

  test("during the prefill pays the prompt tokens evaluated so far", async () => {
    const { url, edge, workshop } = await useNode();
    const leave = new AbortController();
    const pad = { role: "system", content: "x".repeat(900) };
    const directive = { role: "user", content: '{"script":{"prefillMsPerToken":1,"tokens":3}}' };
    const body = { model: "m", messages: [pad, directive] };
    const response = await edge.call(url, { body, signal: leave.signal });
    const seen = await readUntil(readerOf(response), (text) => text.includes("accepted=1"));
    const whole = readEvents(seen).notes[0]?.prompt ?? 0;
    // Some hundred tokens of nine hundred and fifty.
    await until(() => workshop.load.prefillTokensPending < whole - 100);
    const leftAtMs = performance.now();
    leave.abort();
    await workshop.running.empty();
    expect(performance.now() - leftAtMs).toBeLessThan(STOPPED_WITHIN_MS);
    const receipt = await edge.receipt(response.request);
    expect(receipt).toMatchObject({ ended: "client_gone", from: 0, to: 0, cached: 0 });
    expect(receipt.prompt).toBeGreaterThanOrEqual(128);
    expect(receipt.prompt).toBeLessThan(whole);
    expect(receipt.prompt % 128).toBe(0);
  });

  test("while it waits in the queue pays nothing and makes room for the next", async () => {
    const { url, edge, workshop } = await useNode({ engine: { slots: 1 } });
    const holder = new AbortController();
    const hang = scripted({ tokens: 3, hangAt: 1 });
    await edge.call(url, { body: hang, signal: holder.signal });
    const leave = new AbortController();
    const waiting = await edge.call(url, { body: scripted({ tokens: 1 }), signal: leave.signal });
    expect(workshop.load.queued).toBe(1);
    leave.abort();
    await until(() => workshop.load.queued === 0);
    expect(await edge.receipt(waiting.request)).toMatchObject({ ended: "client_gone", to: 0, prompt: 0 });
    holder.abort();
    await workshop.running.empty();
  });

  test("before an answer that is not streamed was whole: what was made is journalled and told", async () => {
    const { url, edge, workshop } = await useNode();
    const leave = new AbortController();
    const body = scripted({ endless: true, everyMs: 5 });
    const response = await edge.call(url, { body, head: { stream: false }, signal: leave.signal });
    const [station] = workshop.stations;
    if (station === undefined) throw new Error("nothing is served");
    await until(() => station.load.slotsBusy === 1 && workshop.running.contextTokens(station) > 80);
    leave.abort();
    await workshop.running.empty();
    const receipt = await edge.receipt(response.request);
    expect(receipt.ended).toBe("client_gone");
    expect((await edge.journal(url, response.request, 0, 1_000)).to).toBe(receipt.to);
  });

  test("half of whose connection is closed has left", async () => {
    const { url, edge, workshop } = await useNode();
    const request = newRequest();
    const { mac, bytes } = await signed(edge, request, scripted({ endless: true, everyMs: 5 }));
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    const heads = `${MAC_HEADER}: ${mac}\r\ncontent-type: ${CALL_CONTENT_TYPE}\r\ncontent-length: ${bytes.length}`;
    socket.write(`POST ${CHAT_PATH} HTTP/1.1\r\nhost: node\r\n${heads}\r\n\r\n`);
    socket.write(bytes);
    await new Promise<void>((resolve) =>
      socket.on("data", (data) => String(data).includes("to=3") && resolve()),
    );
    socket.end();
    await workshop.running.empty();
    expect(await edge.receipt(request)).toMatchObject({ ended: "client_gone" });
    socket.destroy();
  });
});

const STALL_BYTES = 5_000;

/** An attempt with a long answer for a reader that takes some of it and then nothing. */
async function stalledAttempt(slowMs: number) {
  const limits = {
    queueMax: 1,
    queueWaitMs: 1_000,
    attemptMsMax: 60_000,
    outlet: { slowMs, silenceMs: 60_000 },
  };
  const workshop = new Workshop(
    limits,
    () => undefined,
    () => performance.now(),
  );
  workshop.open(createScriptEngine());
  const frame = {
    tag: "t",
    lane: "l",
    promptCeiling: 1_000,
    outputCeiling: 10_000,
    modelAs: "m",
    createdS: 0,
  };
  const chat = parseChat(utf8(JSON.stringify(scripted({ tokens: 4_000 }))));
  if (!chat.ok) throw new Error("a chat that does not parse");
  const rest = {
    responseId: "r",
    stream: true,
    thinkingDefault: false,
    resume: undefined,
    notes: true,
    print: openAiChat,
  };
  const [station] = workshop.stations;
  if (station === undefined) throw new Error("nothing is served");
  const prepared = await station.prepare(chat.wish, { ...frame, ...rest });
  if (!prepared.ok) throw new Error("a chat that is refused");
  const { response, taken } = stalledResponse(STALL_BYTES);
  const journalled: number[] = [];
  const ledger: Ledger = {
    progress: async ({ to }) => void journalled.push(to),
    ends: () => Promise.resolve(),
  };
  const attempt = station.attempt(prepared.plan, workshop.outlet(response), ledger, "name");
  const ended = attempt.run();
  return { attempt, ended, workshop, journalled, taken };
}

test("a reader that takes nothing holds no slot, is dropped after thirty seconds, and pays what was written", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const { slowMs } = OUTLET_TIMES;
  expect(slowMs).toBe(30_000);
  const { ended, workshop, journalled, taken } = await stalledAttempt(slowMs);
  let over = false;
  void ended.then(() => (over = true));
  // The slot is free though no time has passed; what is written takes its 20 ms a piece.
  while (workshop.load.slotsBusy > 0) await vi.advanceTimersByTimeAsync(0);
  while (taken().length < STALL_BYTES) await vi.advanceTimersByTimeAsync(20);
  await vi.advanceTimersByTimeAsync(slowMs - 1_000);
  expect(over).toBe(false);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(over).toBe(true);
  const outcome = await ended;
  expect(outcome.ended).toBe("client_slow");
  // All that the reader's side took, and at most the one write that it did not take whole.
  expect(outcome.to).toBe(journalled.at(-1));
  expect(outcome.to).toBeGreaterThanOrEqual(readEvents(taken()).to);
  expect(outcome.to).toBeLessThan(4_000);
});

test("a drain does not wait for a reader that takes its time: its attempt is over, with what was written", async () => {
  const { attempt, ended, workshop, journalled, taken } = await stalledAttempt(60_000);
  await until(() => workshop.load.slotsBusy === 0);
  attempt.stop("drained");
  const outcome = await ended;
  expect(outcome.ended).toBe("drained");
  expect(outcome.to).toBe(journalled.at(-1));
  expect(outcome.to).toBeGreaterThanOrEqual(readEvents(taken()).to);
  expect(outcome.to).toBeLessThan(4_000);
});

/** A real response on a socket that takes so many bytes and then no more. */
function stalledResponse(bytesMax: number): { response: ServerResponse; taken: () => string } {
  let text = "";
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      text += chunk.toString("latin1");
      if (text.length < bytesMax) done();
    },
  });
  const response = new ServerResponse(new IncomingMessage(socket as Socket));
  response.useChunkedEncodingByDefault = false;
  response.assignSocket(socket as Socket);
  return { response, taken: () => text };
}

describe("an engine that dies", () => {
  test("leaves the stream with its last positions, a note that says so, and no [DONE]", async () => {
    const { url, edge } = await useNode();
    const response = await edge.call(url, { body: scripted({ tokens: 9, dieAt: 4, everyMs: 5 }) });
    const seen = readEvents(await response.text());
    expect(seen).toMatchObject({ to: 4, done: false, finish: undefined, content: "0 1 2 3 " });
    expect(seen.events.at(-1)).toMatchObject({ data: undefined, note: { to: 4, ended: "engine_died" } });
    expect(await edge.receipt(response.request)).toMatchObject({ ended: "engine_died", to: 4 });
  });

  test("is continued by the next attempt without a gap", async () => {
    const { url, edge, node } = await useNode();
    const body = scripted({ tokens: 9, dieAt: 4 });
    const first = await edge.call(url, { body });
    const seen = readEvents(await first.text());
    await until(() => node.life.state === "ready");
    const { prompt = 0, cached = 0 } = seen.notes.find((note) => note.from !== undefined) ?? {};
    const resume = { from: seen.to, tokens: [...seen.ids], prompt, cached };
    const second = await edge.call(url, { body, head: { request: first.request, ordinal: 1, resume } });
    expect(seen.content + readEvents(await second.text()).content).toBe("0 1 2 3 4 5 6 7 8 ");
    expect(await edge.receipt(first.request, 1)).toMatchObject({ from: 4, to: 10, ended: "stop", prompt });
  });

  test("answers calls with `loading` until it is back", async () => {
    const { url, edge } = await useNode({ engine: { restartMs: 600_000 } });
    await (await edge.call(url, { body: scripted({ tokens: 2, dieAt: 1 }) })).text();
    const response = await edge.call(url, { body: scripted({ tokens: 1 }) });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ refusal: { kind: "loading" } });
    expect((await fetch(`${url}/health`)).status).toBe(503);
  });
});

test("an attempt that lasts longer than the node allows ends with `timeout`", async () => {
  const { url, edge } = await useNode({ limits: { attemptMsMax: 200 } });
  const response = await edge.call(url, { body: scripted({ tokens: 5, hangAt: 2 }) });
  const seen = readEvents(await response.text());
  expect(seen.events.at(-1)?.note).toEqual({ to: 2, ended: "timeout" });
  expect(await edge.receipt(response.request)).toMatchObject({ ended: "timeout", to: 2 });
});

test("a call for which no slot comes free in time ends with `no_room` and pays nothing", async () => {
  const { url, edge, workshop } = await useNode({ engine: { slots: 1 }, limits: { queueWaitMs: 100 } });
  const holder = new AbortController();
  await edge.call(url, { body: scripted({ tokens: 3, hangAt: 1 }), signal: holder.signal });
  const response = await edge.call(url, { body: scripted({ tokens: 1 }) });
  const seen = readEvents(await response.text());
  expect(seen.events.at(-1)).toMatchObject({ data: undefined, note: { to: 0, ended: "no_room" } });
  expect(await edge.receipt(response.request)).toMatchObject({ ended: "no_room", to: 0, prompt: 0 });
  holder.abort();
  await workshop.running.empty();
});

describe("a node that stops", () => {
  test("lets what runs finish, and takes nothing new", async () => {
    const { url, edge, stop, node } = await useNode();
    const running = await edge.call(url, { body: scripted({ tokens: 20, everyMs: 20 }) });
    const stopped = stop(10_000);
    expect(node.life.state).toBe("draining");
    const refused = await edge.call(url, { body: scripted({ tokens: 1 }) });
    expect(await refused.json()).toEqual({ refusal: { kind: "draining" } });
    expect(readEvents(await running.text())).toMatchObject({ finish: "stop", to: 21 });
    await stopped;
    expect(await edge.receipt(running.request)).toMatchObject({ ended: "stop", to: 21 });
  });

  test("ends what still runs at its deadline with `drained`, and the receipt leaves before it does", async () => {
    const { url, edge, stop } = await useNode();
    const response = await edge.call(url, { body: scripted({ tokens: 5, hangAt: 2 }) });
    const reader = readerOf(response);
    const begun = await readUntil(reader, (text) => readEvents(text).to >= 2);
    await stop(50);
    const seen = readEvents(begun + (await readUntil(reader, () => false)));
    expect(seen.events.at(-1)?.note).toEqual({ to: 2, ended: "drained" });
    expect(edge.receipts.get(`${response.request}/0`)).toMatchObject({ ended: "drained", to: 2 });
  });
});

/** Polls what has no event of its own. */
async function until(holds: () => boolean): Promise<void> {
  for (const overAtMs = performance.now() + 10_000; !holds();) {
    if (performance.now() > overAtMs) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test("a journal lists what ended, in order, up to the first that still runs, and says whose receipt was taken", async () => {
  const { url, edge } = await useNode();
  const done: string[] = [];
  for (const tokens of [3, 5]) {
    const response = await edge.call(url, { body: scripted({ tokens }) });
    await response.text();
    await edge.receipt(response.request);
    done.push(response.request);
  }
  const leave = new AbortController();
  const running = await edge.call(url, {
    body: scripted({ endless: true, everyMs: 10 }),
    signal: leave.signal,
  });
  await readUntil(readerOf(running), (text) => readEvents(text).to >= 1);
  const after = await edge.call(url, { body: scripted({ tokens: 2 }) });
  await after.text();
  await edge.receipt(after.request);
  const later = edge.nowMs + 1_000_000;
  const listed = await edge.journalList(url, 0, later);
  expect(
    listed.attempts.map(({ attempt, to, ended }) => [attempt.request, attempt.ordinal, to, ended]),
  ).toEqual([
    [done[0], 0, 4, "stop"],
    [done[1], 0, 6, "stop"],
  ]);
  expect(listed.attempts[0]?.ticket).toBe(`ticket-${done[0]}-0`);
  expect(listed.more).toBe(false);
  leave.abort();
  await edge.receipt(running.request);
  const rest = await edge.journalList(url, listed.attempts[1]?.id ?? 0, later);
  expect(rest.attempts.map(({ attempt }) => attempt.request)).toEqual([running.request, after.request]);
  // What is too young is not told yet, and nobody but an edge is told anything.
  expect((await edge.journalList(url, 0, 0)).attempts).toEqual([]);
  expect((await fetch(`${url}/node/v1/journal?after=0&begunBefore=1`)).status).toBe(401);
});
