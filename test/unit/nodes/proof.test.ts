/** Which nodes are asked for a token, and when: those that nothing has proven lately, and no others. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  afterBeat,
  afterProbe,
  afterTokens,
  asked,
  IDLE_MS,
  probeDue,
  provenBy,
  shownAs,
  suspected,
  unproven,
} from "../../../src/nodes/proof.ts";

const BOOT = "boot_1";
const NOW = 1_000_000;
const model = (features: string[]) => ({ id: "m", weights: "w", contextTokens: 1, features });
const ready = { state: "ready", models: [model(["probe"])] };
const started = unproven(BOOT, NOW);
const proven = afterTokens(started, NOW);
const failed = afterProbe(asked(started, NOW), { kind: "failed", why: "not_reached" }, NOW);

test.each<[string, Parameters<typeof probeDue>, string | undefined]>([
  ["a boot that was just heard of may be proven by its first calls", [started, ready, NOW], undefined],
  ["a boot that nobody has used yet is asked", [started, ready, NOW + 5_000], "m"],
  ["a node that answered a client lately is not asked", [proven, ready, NOW + IDLE_MS - 1], undefined],
  ["a node that was idle for long is asked", [proven, ready, NOW + IDLE_MS], "m"],
  [
    "a node that loads or drains is not asked",
    [started, { ...ready, state: "loading" }, NOW + 5_000],
    undefined,
  ],
  [
    "a node that knows no probes is not asked",
    [started, { ...ready, models: [model([])] }, NOW + 5_000],
    undefined,
  ],
  ["a node that is being asked is not asked twice", [asked(started, NOW), ready, NOW + IDLE_MS], undefined],
  ["a node whose call failed is asked at once", [suspected(proven, NOW + 10), ready, NOW + 10], "m"],
  ["a node that failed is asked again soon", [failed, ready, NOW + 2_000], "m"],
  ["but not at once, whoever suspects it", [suspected(failed, NOW + 1), ready, NOW + 1], undefined],
])("%s", (_, asked, wanted) => {
  expect(probeDue(...asked)).toBe(wanted);
});

test("models of one node take turns, and one that failed is asked again", () => {
  const two = { state: "ready", models: [model(["probe"]), { ...model(["probe"]), id: "n" }] };
  const first = afterProbe(started, { kind: "proven" }, NOW);
  expect(probeDue(first, two, NOW + IDLE_MS)).toBe("n");
  const vain = afterProbe(asked(first, NOW + IDLE_MS), { kind: "failed", why: "too_slow" }, NOW + IDLE_MS);
  expect(probeDue(vain, two, NOW + 2 * IDLE_MS)).toBe("n");
});

test("a node fails from its first probe in vain until a token, and says since when and why", () => {
  expect(shownAs(started)).toBeUndefined();
  expect(shownAs(failed)).toEqual({
    provenAtMs: null,
    failing: { sinceMs: NOW, probes: 1, why: "not_reached" },
  });
  const again = afterProbe(failed, { kind: "failed", why: "too_slow" }, NOW + 2_000);
  expect(shownAs(again)).toMatchObject({ failing: { sinceMs: NOW, probes: 2, why: "too_slow" } });
  expect(shownAs(afterProbe(again, { kind: "proven" }, NOW + 9_000))).toEqual({ provenAtMs: NOW + 9_000 });
});

test("an answer that ended before the node failed does not prove it, and one that ended later does", () => {
  expect(shownAs(afterTokens(failed, NOW - 1))).toMatchObject({ failing: { probes: 1 } });
  expect(shownAs(afterTokens(failed, NOW + 1))).toEqual({ provenAtMs: NOW + 1 });
});

test("a node that would not say stays as it was", () => {
  expect(shownAs(afterProbe(failed, { kind: "untold" }, NOW + 1))).toEqual(shownAs(failed));
  expect(shownAs(afterProbe(asked(proven, NOW), { kind: "untold" }, NOW + 1))).toEqual(shownAs(proven));
});

test("another boot has to be proven anew", () => {
  expect(afterBeat(failed, BOOT, NOW)).toBe(failed);
  expect(afterBeat(failed, "boot_2", NOW)).toEqual(unproven("boot_2", NOW));
});

function receipt(change: object): { body: string; sig: string } {
  const body = {
    v: 1,
    ticket: "t",
    request: `req_${"0".repeat(26)}`,
    ordinal: 0,
    choice: 0,
    node: "node_aaaaaaaaaa",
    boot: `boot_${"0".repeat(26)}`,
    from: 0,
    to: 3,
    ended: "stop",
    prompt: 1,
    cached: 0,
    reasoning: 0,
    weights: "w",
    begunAtMs: NOW - 9,
    endedAtMs: NOW - 5,
    queueMs: 0,
    prefillMs: 1,
    ...change,
  };
  return { body: JSON.stringify(body), sig: "AA" };
}

test.each<[string, object[], number | undefined]>([
  ["a whole answer", [{}], NOW - 5],
  ["the newest of several", [{}, { endedAtMs: NOW - 2 }], NOW - 2],
  ["no answer from the future", [{ endedAtMs: NOW + 60_000 }], NOW],
  ["not a failed one", [{ ended: "engine_died" }], undefined],
  ["not one without a token", [{ to: 0 }], undefined],
  ["none", [], undefined],
])("what receipts prove: %s", (_, changes, atMs) => {
  expect(provenBy({ receipts: changes.map(receipt) }, NOW)).toBe(atMs);
});

test("however a node behaves and whoever suspects it, it is asked no more than once in two seconds", () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 1_500 }),
    what: fc.constantFrom("beat", "suspect", "proven", "failed", "untold"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      let proof = started;
      let nowMs = NOW;
      const askedAtMs: number[] = [];
      for (const { afterMs, what } of steps) {
        nowMs += afterMs;
        if (what === "suspect") proof = suspected(proof, nowMs);
        else if (what !== "beat" && proof.asking)
          proof = afterProbe(proof, what === "failed" ? { kind: what, why: "x" } : { kind: what }, nowMs);
        if (probeDue(proof, ready, nowMs) === undefined) continue;
        askedAtMs.push(nowMs);
        proof = asked(proof, nowMs);
      }
      for (const [i, atMs] of askedAtMs.entries()) {
        const before = askedAtMs[i - 1];
        if (before !== undefined) expect(atMs - before).toBeGreaterThanOrEqual(2_000);
      }
    }),
  );
});
