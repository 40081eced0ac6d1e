/** Which node is asked first: hard filters, then the expected cost to the first token, then the request's own order. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LiveNode } from "../../../src/core/node.ts";
import { choose, type Knowledge, type Wish } from "../../../src/routing/choose.ts";
import { numberOf, rendezvous } from "../../../src/routing/rendezvous.ts";
import { cold, node, NOW, prompt, type NodeChange } from "./support.ts";

const wish: Wish = { model: "m", promptTokens: 100, regions: null, opening: 7 };
const still = (): number => 0.5;

function ids(
  nodes: readonly LiveNode[],
  change: Partial<Wish> = {},
  known: Partial<Knowledge> = {},
): string[] {
  return choose({ ...wish, ...change }, nodes, cold(known), still).map((choice) => choice.node.id);
}

function serving(model: Partial<LiveNode["models"][number]>): NodeChange {
  return { models: [{ id: "m", weights: "w", contextTokens: 4_096, features: ["resume"], ...model }] };
}

describe("a node is not asked", () => {
  test.each([
    ["that is draining", { state: "draining" }, {}],
    ["that is loading", { state: "loading" }, {}],
    ["that serves another model", serving({ id: "other" }), {}],
    ["in another region than the account's", { region: "us" }, { regions: ["eu"] }],
    ["without a feature the call needs", serving({ features: ["tools"] }), { features: ["tools", "json"] }],
    ["with other weights than began the answer", serving({ weights: "x" }), { weights: "w" }],
    ["that says it lacks what most engines do", serving({ lacks: ["top_k"] }), { common: ["top_k"] }],
    ["that cannot resume what another began", serving({ features: [] }), { weights: "w" }],
  ] satisfies readonly (readonly [string, NodeChange, Partial<Wish>])[])("%s", (_, change, asked) => {
    const able = node("able", serving({ features: ["tools", "json", "resume"] }));
    expect(ids([node("unfit", change), able], asked)).toEqual(["able"]);
    expect(ids([node("unfit", change)], asked)).toEqual([]);
  });
});

describe("the first is the one", () => {
  test("with a free slot, before one with a queue", () => {
    expect(ids([node("full", {}, { slotsBusy: 4, queued: 3 }), node("free")])).toEqual(["free", "full"]);
  });

  test("whose slots for this model are free, whatever its other models do", () => {
    const load = { ...node("n").load, slotsBusy: 0 };
    const busyElsewhere = node("a", serving({ load }), { slotsBusy: 4, queued: 9 });
    const busyHere = node("b", serving({ load: { ...load, slotsBusy: 4, queued: 9 } }), { slotsBusy: 0 });
    expect(ids([busyHere, busyElsewhere])).toEqual(["a", "b"]);
  });

  test("with the faster prefill, when the prompt is long", () => {
    const nodes = [
      node("slow", {}, { prefillTokensPerS: 200 }),
      node("fast", {}, { prefillTokensPerS: 5_000 }),
    ];
    expect(ids(nodes, { promptTokens: 4_000 })).toEqual(["fast", "slow"]);
  });

  test("that is nearer, when all else is equal", () => {
    const nodes = [node("far", { region: "us" }), node("near")];
    expect(ids(nodes, {}, { rttMs: (region) => (region === "us" ? 200 : 10) })).toEqual(["near", "far"]);
  });

  test("this isolate has not just sent its calls to, though no beat has counted them yet", () => {
    const own: Knowledge["own"] = ({ id }) =>
      id === "a"
        ? { sinceBeat: 6, promptTokensSinceBeat: 600, running: 6 }
        : { sinceBeat: 0, promptTokensSinceBeat: 0, running: 0 };
    expect(ids([node("a"), node("b")], {}, { own })).toEqual(["b", "a"]);
  });

  test("whose weights are awake, unless it is worth the waiting", () => {
    const asleep = node("asleep", serving({ wakeMs: 3_000 }));
    expect(ids([asleep, node("awake")])).toEqual(["awake", "asleep"]);
    expect(ids([asleep, node("awake", {}, { prefillTokensPending: 60_000 })])).toEqual(["asleep", "awake"]);
    // It has had most of its time since it said so.
    const soon = node("asleep", { ...serving({ wakeMs: 3_000 }), beatAtMs: NOW - 2_990 });
    expect(ids([soon, node("awake", {}, { prefillTokensPending: 6_000 })])).toEqual(["asleep", "awake"]);
  });

  test("that starts its engine again comes after those that have room, and is there at all only if it says how long", () => {
    const loading = (id: string, wakeMs?: number): LiveNode =>
      node(id, { state: "loading", ...serving(wakeMs === undefined ? {} : { wakeMs }) });
    const busy = node("busy", {}, { prefillTokensPending: 60_000 });
    expect(ids([loading("restarting", 300), busy, loading("new")])).toEqual(["busy", "restarting"]);
  });
});

describe("a cached beginning", () => {
  const held: Partial<Knowledge> = { heldChars: ({ id }, { charsTotal }) => (id === "far" ? charsTotal : 0) };
  const nodes = (load: Partial<LiveNode["load"]>): LiveNode[] => [
    node("far", { region: "us" }, load),
    node("near", {}, load),
  ];
  const rttMs: Knowledge["rttMs"] = (region) => (region === "us" ? 200 : 10);

  test("far away wins where evaluating it again would take longer than the way", () => {
    const asked = { prompt: prompt(40_000), promptTokens: 12_000 };
    expect(ids(nodes({}), asked, { ...held, rttMs })).toEqual(["far", "near"]);
  });

  test("far away loses where the machine is faster than the network", () => {
    const asked = { prompt: prompt(4_000), promptTokens: 1_500 };
    expect(ids(nodes({ prefillTokensPerS: 30_000 }), asked, { ...held, rttMs })).toEqual(["near", "far"]);
  });
});

const openings = fc.integer({ min: 0, max: 2 ** 32 - 1 });

describe("old beats", () => {
  const old = NOW - 60_000;

  test("send nobody's calls to one node: the idlest in an old picture gets no crowd", () => {
    const nodes = Array.from({ length: 16 }, (_, i) =>
      node(`n${i}`, { beatAtMs: old }, i === 0 ? {} : { prefillTokensPending: 4_000, slotsBusy: 4 }),
    );
    const firsts = Array.from({ length: 800 }, (_, i) => ids(nodes, { opening: i * 7_919 })[0]);
    expect(firsts.filter((id) => id === "n0").length).toBeLessThan(160);
    expect(new Set(firsts).size).toBe(16);
  });

  test("leave the isolate's own calls to decide: one conversation's burst goes to several nodes", () => {
    const nodes = Array.from({ length: 16 }, (_, i) => node(`n${i}`, { beatAtMs: old }));
    const busy = new Map<string, number>();
    const own: Knowledge["own"] = ({ id }) => {
      const calls = busy.get(id) ?? 0;
      return { sinceBeat: calls, promptTokensSinceBeat: calls * 2_000, running: calls };
    };
    for (let i = 0; i < 32; i++) {
      const [first = ""] = ids(nodes, {}, { own });
      busy.set(first, (busy.get(first) ?? 0) + 1);
    }
    expect(busy.size).toBeGreaterThanOrEqual(3);
    expect(Math.max(...busy.values())).toBeLessThan(16);
  });

  test("never make a node look full", () => {
    const full = { slotsBusy: 4, queued: 16 };
    const stale = choose(wish, [node("a", { beatAtMs: old }, full)], cold(), still);
    expect(stale.map((choice) => choice.room)).toEqual([true]);
    const fresh = choose(wish, [node("a", {}, full)], cold(), still);
    expect(fresh.map((choice) => choice.room)).toEqual([false]);
  });

  test("do not starve a node that was busy then", () => {
    const nodes = Array.from({ length: 8 }, (_, i) =>
      node(`n${i}`, { beatAtMs: old }, i === 0 ? { prefillTokensPending: 100_000, slotsBusy: 4 } : {}),
    );
    const firsts = Array.from({ length: 800 }, (_, i) => ids(nodes, { opening: i * 7_919 })[0]);
    expect(firsts.filter((id) => id === "n0").length).toBeGreaterThan(50);
  });
});

const loads = fc.record({
  slotsBusy: fc.integer({ min: 0, max: 4 }),
  queued: fc.integer({ min: 0, max: 20 }),
  prefillTokensPending: fc.integer({ min: 0, max: 50_000 }),
  prefillTokensPerS: fc.integer({ min: 0, max: 20_000 }),
});
const fleet = fc
  .array(
    fc.record({
      load: loads,
      region: fc.constantFrom("eu", "us"),
      state: fc.constantFrom("ready", "draining", "loading"),
      model: fc.constantFrom("m", "other"),
      ageMs: fc.integer({ min: 0, max: 100_000 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((kinds) =>
    kinds.map(({ load, region, state, model, ageMs }, i) =>
      node(`n${i}`, { region, state, beatAtMs: NOW - ageMs, ...serving({ id: model }) }, load),
    ),
  );

describe("whatever the fleet", () => {
  test("every node that fits is in the ranking once, and no other", () => {
    fc.assert(
      fc.property(fleet, openings, (nodes, opening) => {
        const fit = nodes.filter((n) => n.state === "ready" && n.region === "eu" && n.models[0]?.id === "m");
        expect(ids(nodes, { opening, regions: ["eu"] }).toSorted()).toEqual(fit.map((n) => n.id).toSorted());
      }),
    );
  });

  test("isolates that know nothing but the snapshot agree, in whatever order it lists the nodes", () => {
    fc.assert(
      fc.property(
        fleet,
        openings,
        fc.infiniteStream(fc.double({ min: 0, max: 0.99 })),
        (nodes, opening, dice) => {
          const roll = (): number => dice.next().value;
          const one = choose({ ...wish, opening }, nodes, cold(), roll).map((choice) => choice.node.id);
          const other = choose({ ...wish, opening }, nodes.toReversed(), cold(), roll);
          expect(other.map((choice) => choice.node.id)).toEqual(one);
        },
      ),
    );
  });

  test("more load at a node never brings it forward, and less network never puts it back", () => {
    fc.assert(
      fc.property(fleet, openings, fc.integer({ min: 1, max: 5_000 }), (nodes, opening, more) => {
        const [target] = nodes;
        if (target === undefined) return;
        const place = (at: readonly LiveNode[], rttMs = 50): number =>
          ids(at, { opening }, { rttMs: (region) => (region === target.region ? rttMs : 50) }).indexOf(
            target.id,
          );
        const costOf = (rttMs: number, own: number): number =>
          choose(
            { ...wish, opening },
            nodes,
            cold({
              rttMs: (region) => (region === target.region ? rttMs : 50),
              own: ({ id }) => {
                const calls = id === target.id ? own : 0;
                return { sinceBeat: calls, promptTokensSinceBeat: calls * more, running: calls };
              },
            }),
            still,
          ).find((choice) => choice.node.id === target.id)?.expectedMs ?? 0;
        expect(costOf(50, 3)).toBeGreaterThanOrEqual(costOf(50, 0));
        expect(costOf(51 + more, 0)).toBeGreaterThanOrEqual(costOf(50, 0));
        if (place(nodes) === 0 && nodes.every((n) => n.region === target.region || n.region !== "eu"))
          expect(place(nodes, 0)).toBe(0);
      }),
    );
  });
});

describe("nodes whose calls failed here", () => {
  test("come last, and are still there when all others say no", () => {
    const behindUntilMs = (id: string): number | undefined => (id === "a" ? NOW + 500 : undefined);
    const busy = { prefillTokensPending: 50_000, slotsBusy: 4, queued: 16 };
    expect(ids([node("a"), node("b", {}, busy)], {}, { behindUntilMs })).toEqual(["b", "a"]);
    expect(ids([node("a")], {}, { behindUntilMs })).toEqual(["a"]);
    // Nobody here has called it; its region has asked it for a token in vain.
    const proof = { provenAtMs: null, failing: { sinceMs: NOW, probes: 1, why: "too_slow" } };
    const proofs = { m: proof };
    expect(ids([node("a", { proofs }), node("b", {}, busy)], {})).toEqual(["b", "a"]);
    expect(ids([node("a", { proofs })], {})).toEqual(["a"]);
    // Another model's engine hangs there: this one's is well.
    const other = { other: proof };
    expect(ids([node("a", { proofs: other }), node("b", {}, busy)], {})).toEqual(["a", "b"]);
  });

  test("are never more than half of the fleet: the rest has to bear the load", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 12 }), (count, failing) => {
        const nodes = Array.from({ length: count }, (_, i) =>
          // Whoever is well is slow: without a bound it would come first every time.
          node(`n${i}`, {}, i < failing ? {} : { prefillTokensPending: 100_000 }),
        );
        const behindUntilMs = (id: string): number | undefined =>
          Number(id.slice(1)) < failing ? NOW + 1 + Number(id.slice(1)) : undefined;
        const ranking = ids(nodes, {}, { behindUntilMs });
        const putBack = Math.min(failing, count - 1, Math.ceil(count / 2));
        const last = new Set(ranking.slice(count - putBack));
        expect([...last].every((id) => behindUntilMs(id) !== undefined)).toBe(true);
        if (failing > putBack && count > 1) expect(behindUntilMs(ranking[0] ?? "")).toBeDefined();
      }),
    );
  });
});

test("conversations spread over equal nodes", () => {
  const nodes = Array.from({ length: 4 }, (_, i) => node(`n${i}`));
  const firsts = Array.from({ length: 2_000 }, (_, i) => ids(nodes, { opening: i * 104_729 })[0]);
  for (const { id } of nodes) {
    const part = firsts.filter((first) => first === id).length / firsts.length;
    expect(part).toBeGreaterThan(0.2);
    expect(part).toBeLessThan(0.3);
  }
});

test("in rendezvous a node of three times the weight is first three times as often", () => {
  const [big, small] = [numberOf("big"), numberOf("small")];
  const keys = Array.from({ length: 4_000 }, (_, i) => i * 104_729);
  const part = keys.filter((key) => rendezvous(key, big, 3) < rendezvous(key, small, 1)).length / keys.length;
  expect(part).toBeGreaterThan(0.72);
  expect(part).toBeLessThan(0.78);
});
