/** The relay's reading side, in the runtime whose streams it is made for. */
import { printNote } from "@sluice/protocol/events";
import { expect, test } from "vitest";
import { begin, pass, wholeAnswer } from "../../../src/relay/answer.ts";
import { readBatches } from "../../../src/relay/batches.ts";
import { NO_PROGRESS } from "../../../src/relay/progress.ts";
import { openOutlet } from "../../../src/relay/outlet.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const ignore = (): void => undefined;
const passing = { before: NO_PROGRESS, heard: ignore, sent: ignore, last: () => ": served by n/eu\n" };

type Upstream = {
  readonly body: ReadableStream<Uint8Array>;
  send(text: string): void;
  end(): void;
  break(): void;
};

/** A node's side of a connection, written to by the test. */
function upstream(): Upstream {
  const queue: { controller?: ReadableByteStreamController } = {};
  const body = new ReadableStream({
    type: "bytes",
    start(controller: ReadableByteStreamController) {
      queue.controller = controller;
    },
  });
  return {
    body,
    send: (text) => queue.controller?.enqueue(encoder.encode(text)),
    end: () => queue.controller?.close(),
    break: () => queue.controller?.error(new Error("cut")),
  };
}

const accepted = `${printNote({ accepted: true, prompt: 3 })}\n`;
const first = `${printNote({ prompt: 3, cached: 0, from: 0, to: 1, ids: [7] })}data: {"n":1}\n\n`;
const second = `${printNote({ to: 2, ids: [8] })}data: {"n":2}\n\n`;
const done = `${printNote({ to: 3, ended: "stop" })}data: [DONE]\n\n`;

test("an event that arrives in pieces is handed on once it is whole", async () => {
  const node = upstream();
  const batches = readBatches(node.body, { pulling: ignore, heard: ignore });
  node.send(first.slice(0, 20));
  const batch = batches.next();
  node.send(first.slice(20) + second.slice(0, 5));
  expect(decoder.decode(await batch)).toBe(first);
  const rest = batches.next();
  node.send(second.slice(5));
  expect(decoder.decode(await rest)).toBe(second);
});

test("what follows the last whole event of a broken connection is never handed on", async () => {
  const node = upstream();
  const batches = readBatches(node.body, { pulling: ignore, heard: ignore });
  node.send(first + second.slice(0, 9));
  expect(decoder.decode(await batches.next())).toBe(first);
  const rest = batches.next().catch(() => "broken");
  node.break();
  expect(await rest).toBe("broken");
});

test("an answer longer than what is read ahead arrives whole", async () => {
  const node = upstream();
  const batches = readBatches(node.body, { pulling: ignore, heard: ignore });
  const event = `data: ${"x".repeat(200_000)}\n\n`;
  const events = 12;
  for (let i = 0; i < events; i++) node.send(event);
  node.end();
  let length = 0;
  for (let batch = await batches.next(); batch !== undefined; batch = await batches.next())
    length += batch.length;
  expect(length).toBe(events * event.length);
});

test("what a node says while it queues is not the beginning of its answer, and does not reach the client", async () => {
  const node = upstream();
  const beginning = begin(node.body, { heard: ignore, pulling: ignore });
  node.send(accepted);
  node.send(": keep-alive\n\n");
  node.send(first);
  const begun = await beginning;
  if (begun.kind !== "begun") throw new Error(begun.kind);
  expect(decoder.decode(begun.begun.first)).toBe(first);
  expect(begun.begun.progress).toMatchObject({ prompt: 3, to: 1 });
});

test("a node that fails before any content has failed, one that just ends was cut", async () => {
  const failing = upstream();
  const failed = begin(failing.body, { heard: ignore, pulling: ignore });
  failing.send(`${accepted}${printNote({ to: 0, ended: "engine_died" })}\n`);
  expect(await failed).toEqual({ kind: "failed", ended: "engine_died" });
  const ending = upstream();
  const cut = begin(ending.body, { heard: ignore, pulling: ignore });
  ending.send(accepted);
  ending.end();
  expect(await cut).toEqual({ kind: "cut" });
});

async function begunWith(node: Upstream, text: string) {
  const beginning = begin(node.body, { heard: ignore, pulling: ignore });
  node.send(text);
  const begun = await beginning;
  if (begun.kind !== "begun") throw new Error(begun.kind);
  return begun.begun;
}

test("the client gets exactly the whole events and, in the last, who sent them; and what it was sent is known", async () => {
  const node = upstream();
  const outlet = openOutlet();
  const text = new Response(outlet.readable).text();
  const begun = await begunWith(node, first);
  const passed = pass(begun, outlet, passing);
  node.send(second);
  node.send(done);
  expect(await passed).toEqual({ end: "natural", progress: { to: 3, prompt: 3, cached: 0, ended: "stop" } });
  await outlet.close();
  expect(await text).toBe(first + second + done.replace("data:", ": served by n/eu\ndata:"));
});

test("the event that says how a node failed stays with us", async () => {
  const node = upstream();
  const outlet = openOutlet();
  const text = new Response(outlet.readable).text();
  const begun = await begunWith(node, first);
  const passed = pass(begun, outlet, passing);
  node.send(`${second}${printNote({ to: 2, ended: "engine_died" })}\n`);
  expect(await passed).toMatchObject({ end: "node_failed", progress: { to: 2 } });
  await outlet.close();
  expect(await text).toBe(first + second);
});

test("a connection cut in the middle of an event leaves whole events at the client", async () => {
  const node = upstream();
  const outlet = openOutlet();
  const text = new Response(outlet.readable).text();
  const begun = await begunWith(node, first);
  const passed = pass(begun, outlet, passing);
  node.send(second.slice(0, 12));
  node.break();
  expect(await passed).toMatchObject({ end: "cut", progress: { to: 1 } });
  await outlet.close();
  expect(await text).toBe(first);
});

test("a client that left is noticed at the next write", async () => {
  const node = upstream();
  const outlet = openOutlet();
  const reader = outlet.readable.getReader();
  const begun = await begunWith(node, first);
  const passed = pass(begun, outlet, passing);
  await reader.read();
  await reader.cancel();
  node.send(second);
  expect(await passed).toMatchObject({ end: "client_gone", progress: { to: 1 } });
});

test("an answer in one piece is the data of its one event", async () => {
  const node = upstream();
  const note = printNote({ prompt: 3, cached: 0, from: 0, to: 5, ended: "length" });
  const begun = await begunWith(node, `${note}data: {"choices":[{"text":"a\\n\\nb"}]}\n\n`);
  expect(wholeAnswer(begun)).toBe(`{"choices":[{"text":"a\\n\\nb"}]}`);
});

/** Hands over one event for each read, `gapMs` after it was asked. */
function eventByEvent(events: readonly string[], gapMs: number): ReadableStream<Uint8Array> {
  const left = [...events];
  return new ReadableStream({
    type: "bytes",
    async pull(controller: ReadableByteStreamController) {
      if (gapMs > 0) await scheduler.wait(gapMs);
      const event = left.shift();
      if (event === undefined) {
        controller.close();
        controller.byobRequest?.respond(0);
      } else controller.enqueue(encoder.encode(event));
    },
  });
}

test.each([
  { what: "a burst that nobody gathered is read ahead of us", gapMs: 0, readsAhead: 1 },
  { what: "a stream at a model's pace is read as it comes", gapMs: 6, readsAhead: 0 },
])("$what, and arrives whole", async ({ gapMs, readsAhead }) => {
  const events = Array.from({ length: 40 }, (_, n) => `data: {"n":${n}}\n\n`);
  let pulling = 0;
  const batches = readBatches(eventByEvent(events, gapMs), { pulling: () => pulling++, heard: ignore });
  let text = "";
  for (let batch = await batches.next(); batch !== undefined; batch = await batches.next())
    text += decoder.decode(batch);
  expect(text).toBe(events.join(""));
  expect(pulling).toBe(readsAhead);
});
