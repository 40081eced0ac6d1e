/** A walk that comes to an upstream: the account's object has heard of that call before it is made. */
import { expect, test } from "vitest";
import type { LiveNode } from "../../../src/core/node.ts";
import type { Upstream } from "../../../src/core/upstream.ts";
import { walk, type Saying, type Tried } from "../../../src/dispatch/walk.ts";

const node = { id: "node", region: "eu" } as LiveNode;
const upstream = { kind: "upstream", id: "upstream_a", region: "us" } as Upstream;
const lost = { kind: "failed", why: "node_lost" } as const;
const content = { kind: "content", answer: "answer" } as const;
const broke = { kind: "refused", refusal: { kind: "bad_call" } } as const;

async function play(places: readonly (LiveNode | Upstream)[], script: Record<string, Tried<string>>) {
  const told: string[] = [];
  const name = ({ ordinal, why, next }: Saying): string =>
    `${ordinal} ${why} -> ${next === null ? "end" : `${next.ordinal} ${next.node}`}`;
  const walked = await walk(places, {
    after: undefined,
    promptCeiling: 100,
    extended: false,
    nobody: { kind: "overloaded", retryAfterMs: 2_000 },
    issueByMs: 10_000,
    roomUntilMs: 0,
    nowMs: () => 5_000,
    contextTokens: () => undefined,
    waitMs: () => new Promise(() => undefined),
    drop: () => undefined,
    tell: (saying) => {
      told.push(name(saying));
      return Promise.resolve("open");
    },
    extend: () => Promise.resolve({ ok: false, refusal: { kind: "not_extendable" } }),
    attempt: ({ node: { id }, ordinal }) => {
      told.push(`ask ${ordinal} ${id}`);
      return Promise.resolve(script[id] ?? lost);
    },
  }).catch(() => "failed" as const);
  return { told, walked };
}

test("where it is the first to be asked, attempt 0 was nobody's", async () => {
  const { told, walked } = await play([upstream], { upstream_a: content });
  expect(told).toEqual(["0 no_node -> 1 upstream_a", "ask 1 upstream_a"]);
  expect(walked).toMatchObject({ ordinal: 1, node: upstream });
});

test("after a node it is named by the word on that node, as another node would be", async () => {
  const { told } = await play([node, upstream], { upstream_a: content });
  expect(told).toEqual(["ask 0 node", "0 node_lost -> 1 upstream_a", "ask 1 upstream_a"]);
});

test("where it does not answer the walk goes on to a node that was not well, and may find it is", async () => {
  const { told, walked } = await play([upstream, node], { upstream_a: broke, node: content });
  expect(told).toEqual([
    "0 no_node -> 1 upstream_a",
    "ask 1 upstream_a",
    "1 refused -> 2 node",
    "ask 2 node",
  ]);
  expect(walked).toMatchObject({ ordinal: 2, node });
});

test("where nobody answers the last word says so, once", async () => {
  const { told, walked } = await play([upstream], {});
  expect(told.at(-1)).toBe("1 node_lost -> end");
  expect(walked).toBe("failed");
});
