/** Which node is asked first: hard filters, then the expected time to the first token. */
import { expect, test } from "vitest";
import type { LiveNode } from "../../../src/core/node.ts";
import { choose, expectMs, type Wish } from "../../../src/routing/choose.ts";

const NOW = 1_000_000;
const wish: Wish = { model: "m", promptTokens: 100, regions: null };
const still = (): number => 0.5;

function node(id: string, change: Partial<LiveNode> = {}, load: Partial<LiveNode["load"]> = {}): LiveNode {
  return {
    id,
    region: "eu",
    url: "https://node.example",
    publicKey: "",
    boot: "boot",
    state: "ready",
    models: [{ id: "m", weights: "w", contextTokens: 4_096, features: [] }],
    load: {
      slots: 4,
      slotsBusy: 0,
      queued: 0,
      queueMax: 16,
      prefillTokensPending: 0,
      prefillTokensPerS: 1_000,
      decodeTokensPerS: 100,
      kvTokensFree: 10_000,
      ...load,
    },
    speaks: { min: 1, max: 1 },
    callKeyIds: ["k1"],
    beatAtMs: NOW - 500,
    ...change,
  };
}

function ids(nodes: readonly LiveNode[], change: Partial<Wish> = {}): string[] {
  return choose({ ...wish, ...change }, nodes, new Map(), still).map((choice) => choice.node.id);
}

test.each([
  ["is draining", { state: "draining" }],
  ["is loading", { state: "loading" }],
  ["serves another model", { models: [{ id: "other", weights: "w", contextTokens: 1, features: [] }] }],
] satisfies readonly (readonly [string, Partial<LiveNode>])[])("a node that %s is not asked", (_, change) => {
  expect(ids([node("a", change), node("b")])).toEqual(["b"]);
});

test("an account pinned to a region never reaches another", () => {
  expect(ids([node("a"), node("b", { region: "us" })], { regions: ["us"] })).toEqual(["b"]);
  expect(ids([node("a")], { regions: ["us"] })).toEqual([]);
});

test("a node with a free slot comes before one with a queue", () => {
  expect(ids([node("full", {}, { slotsBusy: 4, queued: 3 }), node("free")])).toEqual(["free", "full"]);
});

test("a faster prefill comes first when the prompt is long", () => {
  const slow = node("slow", {}, { prefillTokensPerS: 200 });
  expect(ids([slow, node("fast", {}, { prefillTokensPerS: 5_000 })], { promptTokens: 4_000 })).toEqual([
    "fast",
    "slow",
  ]);
});

test("calls of this isolate that no beat has counted yet count", () => {
  const ranking = choose(wish, [node("a"), node("b")], new Map([["a", 6]]), still);
  expect(ranking.map((choice) => choice.node.id)).toEqual(["b", "a"]);
});

test("a node that has measured nothing yet is still ranked", () => {
  expect(expectMs(wish, node("new", {}, { prefillTokensPerS: 0, decodeTokensPerS: 0 }), 0)).toBeGreaterThan(
    0,
  );
});

test("nodes that are as good as equal share the calls", () => {
  const rolls = [0.9, 0.1, 0.1, 0.9];
  const dice = (): number => rolls.shift() ?? 0;
  const nodes = [node("a"), node("b")];
  const first = (): string | undefined => choose(wish, nodes, new Map(), dice)[0]?.node.id;
  expect([first(), first()]).toEqual(["b", "a"]);
});
