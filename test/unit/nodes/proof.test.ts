/** Which nodes are asked for a token, and when: those that nothing has proven lately, and no others. */
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { probe } from "../../../src/nodes/probe.ts";
import {
  afterBeat,
  afterProbe as afterProbeOf,
  afterReceipts,
  asked as askedFor,
  IDLE_MS,
  probeDue,
  provenBy,
  shownAs,
  suspected as suspectedOf,
  type NodeProofs,
  type ProbeResult,
} from "../../../src/nodes/proof.ts";
import { Proofs } from "../../../src/nodes/proofs.ts";

const BOOT = "boot_1";
const NOW = 1_000_000;
const model = (features: string[], id = "m") => ({ id, weights: `w-${id}`, contextTokens: 1, features });
const ready = { state: "ready", models: [model(["probe"])] };
const two = { state: "ready", models: [model(["probe"]), model(["probe"], "n")] };
const beaten = ({ models }: typeof ready, boot = BOOT): NodeProofs =>
  afterBeat(undefined, { boot, models }, NOW);

const afterProbe = (proofs: NodeProofs, result: ProbeResult, nowMs: number): NodeProofs =>
  afterProbeOf(proofs, "m", result, nowMs);
const asked = (proofs: NodeProofs, nowMs: number): NodeProofs => askedFor(proofs, "m", nowMs);
const suspected = (proofs: NodeProofs, nowMs: number): NodeProofs => suspectedOf(proofs, "m", nowMs);
/** A client got an answer of the model with these weights. */
const afterTokens = (proofs: NodeProofs, endedAtMs: number, weights = "w-m"): NodeProofs =>
  afterReceipts(proofs, two.models, { receipts: [receipt({ endedAtMs, weights })] }, endedAtMs);

const started = beaten(ready);
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

test("each model of a node is asked in its turn, and a failing one again and again", () => {
  const first = afterProbe(asked(beaten(two), NOW + 5_000), { kind: "proven" }, NOW + 5_000);
  expect(probeDue(first, two, NOW + 6_999)).toBeUndefined();
  expect(probeDue(first, two, NOW + 7_000)).toBe("n");
  const asking = askedFor(first, "n", NOW + 7_000);
  const vain = afterProbeOf(asking, "n", { kind: "failed", why: "too_slow" }, NOW + 7_000);
  expect(probeDue(vain, two, NOW + 9_000)).toBe("n");
});

test("traffic on one model proves no other, and one that hangs says nothing of the others", () => {
  const served = afterTokens(beaten(two), NOW + 5_000, "w-n");
  expect(probeDue(served, two, NOW + 5_000)).toBe("m");
  const vain = afterProbe(asked(served, NOW + 5_000), { kind: "failed", why: "too_slow" }, NOW + 5_001);
  const busy = afterTokens(vain, NOW + 6_000, "w-n");
  expect(shownAs(busy)).toEqual({
    m: { provenAtMs: null, failing: { sinceMs: NOW + 5_001, probes: 1, why: "too_slow" } },
    n: { provenAtMs: NOW + 6_000 },
  });
  expect(probeDue(busy, two, NOW + 8_000)).toBe("m");
  const suspicious = suspectedOf(served, "n", NOW + 6_000);
  expect(probeDue(afterTokens(suspicious, NOW + 6_000, "w-m"), two, NOW + 6_000)).toBe("n");
});

test("a receipt whose weights two models share proves neither", () => {
  const twins = two.models.map((one) => ({ ...one, weights: "w" }));
  const receipts = [receipt({ weights: "w" })];
  expect(shownAs(afterReceipts(beaten(two), twins, { receipts }, NOW))).toBeUndefined();
});

test("a node fails from its first probe in vain until a token, and says since when and why", () => {
  expect(shownAs(started)).toBeUndefined();
  expect(shownAs(failed)).toEqual({
    m: { provenAtMs: null, failing: { sinceMs: NOW, probes: 1, why: "not_reached" } },
  });
  const again = afterProbe(failed, { kind: "failed", why: "too_slow" }, NOW + 2_000);
  expect(shownAs(again)).toMatchObject({ m: { failing: { sinceMs: NOW, probes: 2, why: "too_slow" } } });
  expect(shownAs(afterProbe(again, { kind: "proven" }, NOW + 9_000))).toEqual({
    m: { provenAtMs: NOW + 9_000 },
  });
});

test("an answer that ended before the node failed does not prove it, and one that ended later does", () => {
  expect(shownAs(afterTokens(failed, NOW - 1))).toMatchObject({ m: { failing: { probes: 1 } } });
  expect(shownAs(afterTokens(failed, NOW + 1))).toEqual({ m: { provenAtMs: NOW + 1 } });
});

test("a node that would not say stays as it was", () => {
  expect(shownAs(afterProbe(failed, { kind: "untold" }, NOW + 1))).toEqual(shownAs(failed));
  expect(shownAs(afterProbe(asked(proven, NOW), { kind: "untold" }, NOW + 1))).toEqual(shownAs(proven));
});

test("another boot has to be proven anew, and so has a model that comes back", () => {
  const { models } = ready;
  expect(afterBeat(failed, { boot: BOOT, models }, NOW)).toEqual(failed);
  expect(afterBeat(failed, { boot: "boot_2", models }, NOW)).toEqual(beaten(ready, "boot_2"));
  const gone = afterBeat(proven, { boot: BOOT, models: [] }, NOW);
  expect(shownAs(afterBeat(gone, { boot: BOOT, models }, NOW))).toBeUndefined();
  // The answer to a probe that was on its way does not bring it back.
  expect(afterProbe(gone, { kind: "proven" }, NOW).byModel.size).toBe(0);
});

test("a probe that could not even be made is made again", async () => {
  const probes = vi.fn<() => Promise<ProbeResult>>().mockRejectedValueOnce(new Error("no key"));
  probes.mockResolvedValue({ kind: "proven" });
  const proofs = new Proofs(probes);
  const node = {
    ...ready,
    state: "ready",
    id: "x",
    url: "https://x.example",
    boot: BOOT,
    callKeyIds: [],
  } as const;
  const receipts: [] = [];
  await proofs.heard(node, { receipts }, NOW);
  await expect(proofs.heard(node, { receipts }, NOW + 5_000)).rejects.toThrow("no key");
  await proofs.heard(node, { receipts }, Date.now() + 60_000);
  expect(probes).toHaveBeenCalledTimes(2);
  expect(proofs.shown("x")).toMatchObject({ m: { provenAtMs: expect.any(Number) } });
});

test("a key that cannot be made says nothing of the node", async () => {
  const errors = vi.spyOn(console, "error").mockReturnValue();
  const secrets = { current: "k1", byId: new Map([["k1", "no bytes" as never]]) };
  const node = { id: "x", url: "https://x.example", boot: BOOT, callKeyIds: ["k1"] };
  expect(await probe(secrets, node, "m", NOW)).toEqual({ kind: "untold" });
  expect(errors.mock.calls.join("")).toContain("probe_not_made");
  errors.mockRestore();
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

test.each<[string, object[], readonly number[]]>([
  ["a whole answer", [{}], [NOW - 5]],
  ["each of several", [{}, { endedAtMs: NOW - 2 }], [NOW - 5, NOW - 2]],
  ["no answer from the future", [{ endedAtMs: NOW + 60_000 }], [NOW]],
  ["not a failed one", [{ ended: "engine_died" }], []],
  ["not one without a token", [{ to: 0 }], []],
  ["none", [], []],
])("what receipts prove: %s", (_, changes, endsAtMs) => {
  const proven = provenBy({ receipts: changes.map(receipt) }, NOW);
  expect(proven).toEqual(endsAtMs.map((endedAtMs) => ({ weights: "w", endedAtMs })));
});

test("however a node behaves and whoever suspects it, it is asked no more than once in two seconds", () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 1_500 }),
    what: fc.constantFrom("beat", "suspect", "proven", "failed", "untold"),
    which: fc.constantFrom("m", "n"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      let proofs = beaten(two);
      let nowMs = NOW;
      let running: string | undefined;
      const askedAtMs: number[] = [];
      for (const { afterMs, what, which } of steps) {
        nowMs += afterMs;
        if (what === "suspect") proofs = suspectedOf(proofs, which, nowMs);
        else if (what !== "beat" && running !== undefined) {
          const result = what === "failed" ? { kind: what, why: "x" } : { kind: what };
          proofs = afterProbeOf(proofs, running, result, nowMs);
        }
        const due = probeDue(proofs, two, nowMs);
        if (due === undefined) continue;
        askedAtMs.push(nowMs);
        running = due;
        proofs = askedFor(proofs, due, nowMs);
      }
      for (const [i, atMs] of askedAtMs.entries()) {
        const before = askedAtMs[i - 1];
        if (before !== undefined) expect(atMs - before).toBeGreaterThanOrEqual(2_000);
      }
    }),
  );
});
