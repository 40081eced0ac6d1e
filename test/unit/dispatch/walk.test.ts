/** Who is asked next when a node does not answer, and what the account's object gets to hear. */
import { expect, test } from "vitest";
import { FaultError, type Fault } from "../../../src/core/fault.ts";
import type { LiveNode } from "../../../src/core/node.ts";
import { walk, type Saying, type Steps, type Tried } from "../../../src/dispatch/walk.ts";

const nodes = ["a", "b", "c"].map((id) => ({ id, region: "eu" }) as LiveNode);
const nobody = { kind: "overloaded", retryAfterMs: 2_000 } as const;
const dead = { id: "dead", region: "eu" } as LiveNode;

type Story = { readonly asked: string[]; readonly said: Saying[]; readonly dropped: string[] };

/** Plays a walk in which each call ends as the script says, by ordinal. */
function play(
  script: readonly Tried<string>[],
  change: Partial<Steps<string>> = {},
  ranking: readonly LiveNode[] = nodes,
): { story: Story; walked: ReturnType<typeof walk<string>> } {
  const story: Story = { asked: [], said: [], dropped: [] };
  const walked = walk(ranking, {
    after: undefined,
    promptCeiling: 100,
    extended: false,
    nobody,
    issueByMs: 10_000,
    roomUntilMs: 0,
    nowMs: () => 5_000,
    contextTokens: () => undefined,
    waitMs: () => new Promise(() => undefined),
    drop: (answer) => story.dropped.push(answer),
    tell: (saying) => {
      story.said.push(saying);
      return Promise.resolve("open");
    },
    extend: (_, promptCeiling) => Promise.resolve({ ok: true, promptCeiling, heldNanoUsd: 1 }),
    attempt: (naming, promptCeiling) => {
      story.asked.push(`${naming.node.id}${naming.ordinal}:${promptCeiling}`);
      return Promise.resolve(script[naming.ordinal] ?? { kind: "failed", why: "node_lost" });
    },
    ...change,
  });
  return { story, walked };
}

async function faultOf(walked: Promise<unknown>): Promise<Fault> {
  try {
    await walked;
  } catch (error) {
    if (error instanceof FaultError) return error.fault;
    throw error;
  }
  throw new Error("the walk arrived");
}

const content = { kind: "content", answer: "answer" } as const;
const lost = { kind: "failed", why: "node_lost" } as const;
const busy = { kind: "refused", refusal: { kind: "queue_full", retryAfterMs: 700 } } as const;
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

/** A clock that stands still but for the waits of a walk. */
function waiting(untilMs: number): { readonly waitsMs: number[]; readonly steps: Partial<Steps<string>> } {
  const waitsMs: number[] = [];
  let nowMs = 5_000;
  return {
    waitsMs,
    steps: {
      roomUntilMs: untilMs,
      nowMs: () => nowMs,
      waitMs: (ms) => {
        waitsMs.push(ms);
        nowMs += ms;
        return Promise.resolve();
      },
    },
  };
}

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

const cannot = {
  kind: "refused",
  refusal: { kind: "unsupported_parameter", param: "top_k", message: "not here", elsewhere: true },
} as const;
const TOP_K = { kind: "unsupported_parameter", param: "top_k", message: "not here" };

test("an engine that cannot do what is asked is followed by one that can", async () => {
  const { story, walked } = play([cannot, content]);
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "b" } });
  expect(story.said).toMatchObject([{ ordinal: 0, why: "refused", next: { ordinal: 1, node: "b" } }]);
});

test("where no engine can do it, the client hears which field it is", async () => {
  const { story, walked } = play([cannot, cannot, cannot]);
  expect(await faultOf(walked)).toEqual(TOP_K);
  expect(story.said.at(-1)).toMatchObject({ ordinal: 2, why: "refused", next: null });
});

test("three engines that cannot are believed: the rest of a large fleet does not read the prompt, too", async () => {
  const { story, walked } = play([cannot, cannot, cannot, content], {}, [...nodes, dead]);
  expect(await faultOf(walked)).toEqual(TOP_K);
  expect(story.asked).toHaveLength(3);
});

test("where one cannot and the others have no room, the client is told to come back", async () => {
  const { walked } = play([cannot, busy, busy]);
  expect(await faultOf(walked)).toEqual({ kind: "overloaded", retryAfterMs: 700 });
});

test("what no engine takes is said at once", async () => {
  const { elsewhere: _, ...refusal } = cannot.refusal;
  const { story, walked } = play([{ kind: "refused", refusal }, content]);
  expect(await faultOf(walked)).toEqual(TOP_K);
  expect(story.asked).toHaveLength(1);
});

const refused = { kind: "failed", why: "node_failed", ended: "engine_died", refused: true } as const;
const full = { kind: "failed", why: "node_failed", ended: "no_room", retryAfterMs: 400 } as const;

test("what the engines themselves do not take is the request's fault, and none of three is asked in vain again", async () => {
  const { story, walked } = play([refused, refused, refused, content], {}, [...nodes, dead]);
  expect(await faultOf(walked)).toMatchObject({ kind: "invalid_request", param: null });
  expect(story.asked).toHaveLength(3);
  expect(story.said.at(-1)).toMatchObject({
    ordinal: 2,
    why: "node_failed",
    ended: "engine_died",
    next: null,
  });
});

test("where none of three engines can go on with an answer no more are asked, and to the client it broke off", async () => {
  const after = { ordinal: 0, why: "node_failed", ended: "engine_died", node: dead } as const;
  const { story, walked } = play([lost, refused, refused, refused, content], { after }, [...nodes, dead]);
  expect(await faultOf(walked)).toEqual({ kind: "upstream_failed" });
  expect(story.asked).toHaveLength(3);
});

test("one engine that does not take it is no reason why another should not", async () => {
  expect(await play([refused, content]).walked).toMatchObject({ ordinal: 1 });
});

test("engines that had no room after all are no failures: the client comes back when the soonest has some", async () => {
  const later = { ...full, retryAfterMs: 9_000 };
  expect(await faultOf(play([later, full, later]).walked)).toEqual({ kind: "overloaded", retryAfterMs: 400 });
});

const tooLong = (contextTokens: number) =>
  ({ kind: "refused", refusal: { kind: "prompt_too_long", promptTokens: 3_000, contextTokens } }) as const;

test("a prompt that is too long for one node goes to those with a longer context, and to no others", async () => {
  const contextTokens = ({ id }: { readonly id: string }): number => ({ a: 2_048, b: 2_048 })[id] ?? 4_096;
  const { story, walked } = play([tooLong(2_048), content], { contextTokens });
  expect(await walked).toMatchObject({ ordinal: 1, node: { id: "c" } });
  expect(story.asked).toEqual(["a0:100", "c1:100"]);
});

test("where every context is too short, one node has said so for all", async () => {
  const { story, walked } = play([tooLong(2_048)], { contextTokens: () => 2_048 });
  expect(await faultOf(walked)).toEqual({
    kind: "context_exceeded",
    promptTokens: 3_000,
    contextTokens: 2_048,
  });
  expect(story.asked).toHaveLength(1);
});
