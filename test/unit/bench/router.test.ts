/** The router bench's simulator: what it queues, caches and counts is what its figures say. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlockCache, marksOfBlocks } from "../../../bench/router/blocks.ts";
import { figuresOf } from "../../../bench/router/figures.ts";
import { makeFleet, saturationPerS } from "../../../bench/router/fleet.ts";
import { SimNode, type Job } from "../../../bench/router/node.ts";
import { POLICIES, POLICY_NAMES } from "../../../bench/router/policies/all.ts";
import { BLOCK_TOKENS, type SimRequest } from "../../../bench/router/request.ts";
import { atRate, readTrace } from "../../../bench/router/trace.ts";
import { makeWorkload, SHAPES } from "../../../bench/router/workloads.ts";
import { simulate, type Scene } from "../../../bench/router/world.ts";

const KIND = {
  name: "test",
  prefillTokensPerS: 1_000,
  stepMs: 10,
  stepMsPerAnswer: 0,
  slots: 1,
  cacheTokens: 100 * BLOCK_TOKENS,
};

function request(blocks: readonly number[], output = 3): SimRequest {
  return { atMs: 0, input: blocks.length * BLOCK_TOKENS, output, blocks, opening: 1, place: 0 };
}

/** Plays requests at a node one after the other; when each had its first token and its end, and what was cached. */
function played(
  node: SimNode,
  requests: readonly SimRequest[],
): { first: number; cached: number; end: number }[] {
  const seen = requests.map(() => ({ first: 0, cached: 0, end: 0 }));
  for (const [at, one] of requests.entries()) {
    const told = seen[at];
    const job: Job = {
      request: one,
      marks: marksOfBlocks(one.blocks),
      prompt: one.input,
      answer: one.output,
      firstToken: (atMs, cached) => Object.assign(told ?? {}, { first: atMs, cached }),
      ended: (atMs) => Object.assign(told ?? {}, { end: atMs }),
    };
    node.enqueue(job, 0);
  }
  node.advance(60_000);
  return seen;
}

describe("a simulated node", () => {
  test("evaluates in chunks, then makes a token a step; the next waits for the slot and reuses what was cached", () => {
    const [first, second] = played(new SimNode("a", "eu", KIND), [request([1, 2]), request([1, 2, 3])]);
    // 1,024 tokens at 1,000 a second in steps of 50 tokens, each with 10 ms of its own; then two more tokens.
    expect(first).toEqual({ first: 1_024 + 21 * 10, cached: 0, end: 1_024 + 23 * 10 });
    expect(second?.cached).toBe(2 * BLOCK_TOKENS);
    expect(second?.first).toBe((first?.end ?? 0) + 512 + 11 * 10);
  });

  test("that dies gives back what it ran, and comes back with an empty cache", () => {
    const node = new SimNode("a", "eu", KIND);
    played(node, [request([1, 2])]);
    const lost = request([1, 2]);
    node.enqueue(
      {
        request: lost,
        marks: marksOfBlocks(lost.blocks),
        prompt: lost.input,
        answer: lost.output,
        firstToken: () => undefined,
        ended: () => undefined,
      },
      60_000,
    );
    expect(node.die().map(({ made }) => made)).toEqual([0]);
    node.revive(61_000);
    expect(played(node, [request([1, 2])])[0]?.cached).toBe(0);
  });
});

test("a cache never holds more than it can, and gives back what it reserved", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 60 }), (lengths) => {
      const cache = new BlockCache(40);
      for (const [i, length] of lengths.entries()) {
        const blocks = Array.from({ length }, (_, at) => (at < 3 ? at : i * 100 + at));
        const hit = cache.acquire(blocks, 2, i);
        if (hit === undefined) continue;
        cache.computed(blocks, hit, marksOfBlocks(blocks), i);
        expect(cache.usage).toBeLessThanOrEqual(1);
        cache.release(blocks, blocks.length, 2, i);
        expect(cache.usage).toBe(0);
      }
    }),
  );
});

test("what a sketch said stays known for the moments it said it", () => {
  const cache = new BlockCache(4);
  const use = (blocks: readonly number[], atMs: number): void => {
    const hit = cache.acquire(blocks, 0, atMs) ?? 0;
    cache.computed(blocks, hit, marksOfBlocks(blocks), atMs);
    cache.release(blocks, blocks.length, 0, atMs);
  };
  use([1, 2, 3], 100);
  use([7, 8, 9], 200);
  const said = (mark: number, atMs: number): boolean => cache.saidAt(mark, atMs);
  expect([said(3, 99), said(3, 100), said(3, 199), said(3, 200)]).toEqual([false, true, true, false]);
  // Of the older prompt the beginning is what is left.
  expect([said(1, 200), said(9, 200)]).toEqual([true, true]);
});

describe("a workload", () => {
  const median = (values: readonly number[]): number =>
    values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

  test.each([
    ["conversation", 6_909, 350],
    ["synthetic", 11_587, 69],
    ["azure-code", 1_469, 13],
    ["azure-conv", 1_020, 129],
  ])("%s has about the trace's median lengths", (name, input, output) => {
    const shape = SHAPES.find((one) => one.name === name);
    if (shape === undefined) throw new Error("no such shape");
    const { requests } = makeWorkload(shape, 6_000, 5, 1);
    const within = (value: number, of: number): boolean => value > of * 0.7 && value < of * 1.35;
    expect(within(median(requests.map((one) => one.input)), input)).toBe(true);
    expect(within(median(requests.map((one) => one.output)), output)).toBe(true);
  });

  test("comes at the rate that was asked for", () => {
    for (const shape of SHAPES.filter(({ arrivals }) => arrivals.kind !== "gamma")) {
      const { requests } = makeWorkload(shape, 4_000, 10, 1);
      expect(requests.length).toBeGreaterThan(3_000);
      expect(requests.length).toBeLessThan(5_000);
    }
  });
});

describe("a trace in Mooncake's format", () => {
  const line = (timestamp: number, ids: readonly number[]): string =>
    JSON.stringify({
      timestamp,
      input_length: ids.length * 512 + 9,
      output_length: 5,
      hash_ids: [...ids, 99],
    });

  test("is read line by line, complete blocks alone, and played at any rate", () => {
    const workload = readTrace("t", [line(3_000, [0, 1, 2]), line(0, [0, 1]), ""].join("\n"));
    expect(workload.requests.map(({ atMs, blocks }) => [atMs, blocks])).toEqual([
      [0, [0, 1]],
      [3_000, [0, 1, 2]],
    ]);
    expect(atRate(workload, 4).requests.map(({ atMs }) => atMs)).toEqual([0, 500]);
  });

  test.each(["{", '{"timestamp":1}', '{"timestamp":1,"input_length":1,"output_length":1,"hash_ids":["x"]}'])(
    "names the line that is none: %s",
    (odd) => {
      expect(() => readTrace("t", `${line(0, [1])}\n${odd}`)).toThrow("line 2");
    },
  );
});

describe("a run", () => {
  const shape = SHAPES.find((one) => one.name === "chat");
  const scene = (change: Partial<Scene> = {}): Scene => ({
    requests: shape === undefined ? [] : makeWorkload(shape, 300, 8, 1).requests,
    nodes: 4,
    edges: 3,
    telemetryAgeMs: 1_000,
    deaths: [],
    seed: 1,
    ...change,
  });

  test.each(POLICY_NAMES)(
    "of %s is the same each time, and every request has an answer though nodes die",
    (name) => {
      const run = simulate(scene({ deaths: [0.3, 0.6] }), POLICIES[name]);
      expect(run.told.every(({ firstMs, endMs }) => firstMs !== undefined && endMs !== undefined)).toBe(true);
      expect(simulate(scene({ deaths: [0.3, 0.6] }), POLICIES[name])).toEqual(run);
    },
  );

  test("with reuse: ours finds more of it than chance, and answers sooner", () => {
    const [ours, chance] = [POLICIES.sluice, POLICIES.p2c].map((make) => figuresOf(simulate(scene(), make)));
    expect(ours?.hit).toBeGreaterThan((chance?.hit ?? 1) + 0.1);
    expect(ours?.ttftP99Ms).toBeLessThan(chance?.ttftP99Ms ?? 0);
  });

  test("below saturation keeps up, and far above it does not", () => {
    const p99At = (part: number): number => {
      if (shape === undefined) return 0;
      const perS = saturationPerS(makeFleet(4), makeWorkload(shape, 600, 10, 1).requests) * part;
      return figuresOf(
        simulate(scene({ requests: makeWorkload(shape, 600, perS, 1).requests }), POLICIES.sluice),
      ).ttftP99Ms;
    };
    expect(p99At(0.3)).toBeLessThan(2_000);
    expect(p99At(3)).toBeGreaterThan(10_000);
  });
});
