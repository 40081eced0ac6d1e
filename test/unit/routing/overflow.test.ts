/** Which upstreams a request may overflow to, in which order, and that nodes come first. */
import fc from "fast-check";
import { describe, test } from "vitest";
import type { Upstream } from "../../../src/core/upstream.ts";
import { offersFor, withUpstreams, type OverflowWish, type Seen } from "../../../src/routing/overflow.ts";
import { node } from "./support.ts";

const SERVED = {
  model: "m",
  as: "theirs",
  thinks: false,
  extra: {},
  tagField: null,
  contextTokens: null,
  inputMicroUsdPerM: 100,
  cachedMicroUsdPerM: 100,
  outputMicroUsdPerM: 100,
};

function upstream(id: string, change: Partial<Upstream> = {}): Upstream {
  return {
    kind: "upstream",
    id,
    region: "us",
    url: "https://api.example.com/v1",
    sealedKey: null,
    models: [SERVED],
    features: ["tools"],
    concurrency: 2,
    policy: { trains: false, retainsDays: 0, keptIn: "us" },
    ...change,
  };
}

const WISH: OverflowWish = {
  allowed: "any",
  model: "m",
  thinks: false,
  promptTokens: 100,
  promptCeiling: 200,
  regions: null,
  features: [],
};

function seen(running: Record<string, number> = {}, behind: readonly string[] = []): Seen {
  return { running: (id) => running[id] ?? 0, isBehind: (id) => behind.includes(id) };
}

function order(
  wish: Partial<OverflowWish>,
  upstreams: readonly Upstream[],
  known = seen(),
): readonly string[] {
  return offersFor({ ...WISH, ...wish }, upstreams, known).map((offer) => offer.upstream.id);
}

describe("an upstream is offered", () => {
  const policy = (trains: boolean, retainsDays: number | null, keptIn = "us") => ({
    policy: { trains, retainsDays, keptIn },
  });
  const CASES: readonly (readonly [string, Partial<OverflowWish>, Partial<Upstream>, boolean])[] = [
    ["to an account that allows any", {}, policy(true, null), true],
    ["never to one that allows none", { allowed: "none" }, policy(false, 0), false],
    ["without retention to one that allows only that", { allowed: "no-retention" }, policy(false, 0), true],
    ["but not where prompts are kept a day", { allowed: "no-retention" }, policy(false, 1), false],
    ["nor where nobody has said how long", { allowed: "no-retention" }, policy(false, null), false],
    ["nor where they train models", { allowed: "no-retention" }, policy(true, 0), false],
    ["within the regions of a pin", { regions: ["us", "eu"] }, {}, true],
    ["and not outside of them", { regions: ["eu"] }, {}, false],
    ["nor where prompts are kept outside of them", { regions: ["us"] }, policy(false, 30, "eu"), false],
    ["though it says so, where none are kept", { regions: ["us"] }, policy(false, 0, "eu"), true],
    ["for what it can do", { features: ["tools"] }, {}, true],
    ["and not for what it cannot", { features: ["tools", "json"] }, {}, false],
    ["for the model it has", { model: "other" }, {}, false],
    [
      "for a prompt that leaves room for an answer",
      {},
      { models: [{ ...SERVED, contextTokens: 201 }] },
      true,
    ],
    ["and not for one that may not", {}, { models: [{ ...SERVED, contextTokens: 200 }] }, false],
    ["for thinking, where it thinks", { thinks: true }, { models: [{ ...SERVED, thinks: true }] }, true],
    ["and not where it does not", { thinks: true }, {}, false],
  ];
  test.for(CASES)("%s", ([, wish, change, offered], { expect }) => {
    expect(order(wish, [upstream("a", change)])).toEqual(offered ? ["a"] : []);
  });

  test("while it has room: as many calls of this isolate as its operator has said", ({ expect }) => {
    expect(order({}, [upstream("a")], seen({ a: 1 }))).toEqual(["a"]);
    expect(order({}, [upstream("a")], seen({ a: 2 }))).toEqual([]);
  });

  test("the cheapest first, then the emptiest; who has failed here lately comes last", ({ expect }) => {
    const dear = upstream("dear", { models: [{ ...SERVED, outputMicroUsdPerM: 900 }] });
    const all = [dear, upstream("b"), upstream("c"), upstream("d")];
    expect(order({}, all)).toEqual(["b", "c", "d", "dear"]);
    expect(order({}, all, seen({ b: 1 }, ["c"]))).toEqual(["d", "b", "dear", "c"]);
  });
});

describe("upstreams stand behind every node that is well", () => {
  const nodes = Array.from({ length: 6 }, (_, i) => node(`n${i}`));

  test("whichever nodes those are; the others are asked after them, nobody twice and nobody left out", ({
    expect,
  }) => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), (well) => {
        const isWell = ({ id }: { readonly id: string }): boolean => well[Number(id.slice(1))] ?? false;
        const ids = [...withUpstreams(nodes, isWell, () => [upstream("up")])].map(({ id }) => id);
        const at = ids.indexOf("up");
        expect(ids.slice(0, at)).toEqual(nodes.filter(isWell).map(({ id }) => id));
        expect(ids.slice(at + 1)).toEqual(nodes.filter((one) => !isWell(one)).map(({ id }) => id));
      }),
    );
  });

  test("and are not even looked for while a node before them answers", ({ expect }) => {
    let looked = 0;
    const places = withUpstreams(
      nodes,
      () => true,
      () => {
        looked += 1;
        return [];
      },
    );
    for (const _ of nodes) places.next();
    expect(looked).toBe(0);
    expect(places.next().done).toBe(true);
    expect(looked).toBe(1);
  });
});
