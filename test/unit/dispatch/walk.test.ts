/** Who is asked next when a node does not answer, and what the account's object gets to hear. */
import { expect, test } from "vitest";
import { walk, type Saying } from "../../../src/dispatch/walk.ts";
import { busy, content, dead, faultOf, lost, nobody, nodes, play, waiting } from "./played.ts";

const small = { kind: "refused", refusal: { kind: "hold_too_small", promptTokens: 250 } } as const;

test("the first node that has content answers, and nothing needs to be said", async () => {
  const { story, walked } = play([content]);
  expect(await walked).toMatchObject({ answer: "answer", ordinal: 0, node: { id: "a" } });
  expect(story.said).toEqual([]);
});

test("a node that is lost is followed by the next, and the books know of both", async () => {
  const { story, walked } = play([lost, content]);
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "b" } });
  expect(story.said).toEqual([
    {
      ordinal: 0,
      why: "node_lost",
      node: nodes[0],
      next: { ordinal: 1, node: "b", region: "eu", issuedAtMs: 5_000 },
    },
  ]);
});

test("no node is asked twice, and at the end the client hears that they failed", async () => {
  const { story, walked } = play([lost, lost, lost]);
  expect(await faultOf(walked)).toEqual({ kind: "upstream_failed" });
  expect(story.asked).toEqual(["a0:100", "b1:100", "c2:100"]);
  expect(story.said.at(-1)).toMatchObject({ ordinal: 2, why: "node_lost", next: null });
});

test("when every node is busy the client is told to come back, by the shortest guess", async () => {
  const { walked } = play([busy, { ...busy, refusal: { kind: "queue_full", retryAfterMs: 300 } }, busy]);
  expect(await faultOf(walked)).toEqual({ kind: "overloaded", retryAfterMs: 300 });
});

test("when every node is busy and there is time, the one that expects room first is asked again, and answers", async () => {
  const soon = { ...busy, refusal: { kind: "queue_full", retryAfterMs: 300 } } as const;
  const { waitsMs, steps } = waiting(5_900);
  const { story, walked } = play([busy, soon, busy, content], steps);
  expect(await walked).toMatchObject({ ordinal: 3, node: { id: "b" } });
  expect(story.asked).toEqual(["a0:100", "b1:100", "c2:100", "b3:100"]);
  expect(waitsMs[0]).toBe(300);
  expect(story.said.at(-1)).toMatchObject({ ordinal: 2, why: "refused", next: { ordinal: 3, node: "b" } });
});

test("a wait for room ends when the refusal has to be told, and the refusal is told", async () => {
  const { waitsMs, steps } = waiting(5_900);
  const { story, walked } = play(
    Array.from({ length: 9 }, () => busy),
    steps,
  );
  expect(await faultOf(walked)).toEqual({ kind: "overloaded", retryAfterMs: 700 });
  expect(waitsMs.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(900);
  expect(story.said.at(-1)).toMatchObject({ why: "refused", next: null });
});

test("a node that is leaving, or lost, is not waited for", async () => {
  const leaving = { kind: "refused", refusal: { kind: "draining" } } as const;
  const { waitsMs, steps } = waiting(5_900);
  const { walked } = play([leaving, lost, leaving], steps);
  expect(await faultOf(walked)).toEqual({ kind: "upstream_failed" });
  expect(waitsMs).toEqual([]);
});

test("a hold that is too small is extended once, and the same node is asked again", async () => {
  const { story, walked } = play([small, content]);
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "a" } });
  expect(story.asked).toEqual(["a0:100", "a1:250"]);
});

test("a hold that was extended on an earlier leg is not asked for more: the next node may count fewer tokens", async () => {
  const extend = () => Promise.reject(new Error("not asked"));
  const { story, walked } = play([small, content], { extended: true, extend });
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "b" }, extended: true });
  expect(story.said).toMatchObject([{ why: "refused", next: { node: "b" } }]);
});

test("nor is one that its books do not extend; and where every node counts too much, the client may come back", async () => {
  const extend = () => Promise.resolve({ ok: false, refusal: { kind: "not_extendable" } } as const);
  const { story, walked } = play([small, small, small], { extend });
  expect(await faultOf(walked)).toEqual({ kind: "overloaded", retryAfterMs: 1_000 });
  expect(story.asked).toEqual(["a0:100", "b1:100", "c2:100"]);
  expect(story.said.at(-1)).toMatchObject({ ordinal: 2, why: "refused", next: null });
});

test("a hold that is too small when no call may be issued any more is no fault of ours", async () => {
  let nowMs = 5_000;
  const { walked } = play([small], {
    nowMs: () => nowMs,
    attempt: () => {
      nowMs = 10_001;
      return Promise.resolve(small);
    },
  });
  expect(await faultOf(walked)).toEqual({ kind: "overloaded", retryAfterMs: 1_000 });
});

test("a hold that cannot be extended is a matter of money, and ends the request", async () => {
  const refusal = {
    kind: "insufficient_balance",
    neededNanoUsd: 5,
    freeNanoUsd: 1,
    heldByOthers: false,
  } as const;
  const { story, walked } = play([small], { extend: () => Promise.resolve({ ok: false, refusal }) });
  expect(await faultOf(walked)).toEqual(refusal);
  expect(story.said).toEqual([{ ordinal: 0, why: "refused", node: nodes[0], next: null }]);
});

test("what the client got wrong is not tried elsewhere", async () => {
  const refusal = { kind: "invalid_request", param: "stop", message: "no" } as const;
  const { story, walked } = play([{ kind: "refused", refusal }]);
  expect(await faultOf(walked)).toEqual(refusal);
  expect(story.asked).toHaveLength(1);
});

test("a client that leaves stops the walk", async () => {
  const { story, walked } = play([lost, { kind: "client_gone" }]);
  expect(await walked).toBe("client_gone");
  expect(story.said.at(-1)).toMatchObject({ ordinal: 1, why: "client_gone", next: null });
});

test("with no node at all the hold is given back at once", async () => {
  const said: Saying[] = [];
  const none = walk<string>([], {
    after: undefined,
    promptCeiling: 1,
    extended: false,
    nobody,
    issueByMs: 1,
    roomUntilMs: 0,
    nowMs: () => 0,
    contextTokens: () => undefined,
    waitMs: () => Promise.resolve(),
    drop: () => undefined,
    tell: (saying) => Promise.resolve(said.push(saying)).then(() => "open"),
    extend: () => Promise.reject(new Error("not asked")),
    attempt: () => Promise.reject(new Error("not asked")),
  });
  expect(await faultOf(none)).toMatchObject({ kind: "overloaded" });
  expect(said).toEqual([{ ordinal: 0, why: "no_node", node: null, next: null }]);
});

test("a second node's answer is not forwarded when the books are closed", async () => {
  const { story, walked } = play([lost, content], { tell: () => Promise.resolve("closed") });
  expect(await faultOf(walked)).toEqual({ kind: "upstream_failed" });
  expect(story.dropped).toEqual(["answer"]);
});

test("books that are silent hold an answer up for a moment only", async () => {
  const { walked } = play([lost, content], {
    tell: () => new Promise(() => undefined),
    waitMs: () => Promise.resolve(),
  });
  expect(await walked).toMatchObject({ ordinal: 1 });
});

test("no call is issued after its last moment", async () => {
  const times = [5_000, 10_001];
  const { story, walked } = play([lost, content], { nowMs: () => times.shift() ?? 10_002 });
  expect(await faultOf(walked)).toEqual({ kind: "upstream_failed" });
  expect(story.asked).toEqual(["a0:100"]);
});

const broken = { ordinal: 2, why: "node_lost", node: dead } as const;

test("a stream that broke off goes on under the next ordinal, and the books hear of it beside the call", async () => {
  const { story, walked } = play([lost, lost, lost, content], { after: broken });
  expect(await walked).toMatchObject({ ordinal: 3, node: { id: "a" } });
  expect(story.said).toEqual([
    { ...broken, next: { ordinal: 3, node: "a", region: "eu", issuedAtMs: 5_000 } },
  ]);
});

test("a stream that nobody can continue ends with the word of the attempt that broke off", async () => {
  const { story, walked } = play([], { after: { ...broken, ordinal: 15 } });
  expect(await faultOf(walked)).toMatchObject({ kind: "overloaded" });
  expect(story.said).toEqual([{ ...broken, ordinal: 15, next: null }]);
});

const pinned = { kind: "data_residency_mismatch", regions: ["eu"], never: false } as const;

test("where nobody within the allowed regions can be reached, the request fails closed", async () => {
  const unreached = { kind: "failed", why: "timeout", limit: "connect" } as const;
  const { walked } = play([lost, unreached, lost], { nobody: pinned });
  expect(await faultOf(walked)).toEqual(pinned);
});

test("a pinned request whose nodes are there and busy is told so", async () => {
  const { walked } = play([lost, busy, lost], { nobody: pinned });
  expect(await faultOf(walked)).toMatchObject({ kind: "upstream_failed" });
});

test("a request that has had all its time asks no further node", async () => {
  const { story, walked } = play([{ kind: "failed", why: "timeout", limit: "total" }, content]);
  expect(await faultOf(walked)).toEqual({ kind: "upstream_timeout", limit: "total" });
  expect(story.said).toEqual([{ ordinal: 0, why: "timeout", limit: "total", node: nodes[0], next: null }]);
});

test("a list that has nodes twice asks again whom it lost, and nobody who said no", async () => {
  const failed = { kind: "failed", why: "node_failed" } as const;
  const asked: string[] = [];
  const twice = walk<string>([...nodes, ...nodes], {
    after: broken,
    promptCeiling: 1,
    extended: false,
    nobody,
    issueByMs: 10_000,
    roomUntilMs: 0,
    nowMs: () => 5_000,
    contextTokens: () => undefined,
    waitMs: () => new Promise(() => undefined),
    drop: () => undefined,
    tell: () => Promise.resolve("open"),
    extend: () => Promise.reject(new Error("not asked")),
    attempt: ({ node }) => {
      asked.push(node.id);
      return Promise.resolve([lost, failed, busy, content][asked.length - 1] ?? lost);
    },
  });
  expect(await twice).toMatchObject({ node: { id: "a" } });
  expect(asked).toEqual(["a", "b", "c", "a"]);
});
