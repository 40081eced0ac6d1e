/** Whom a failed attempt is blamed on, and how long a node that failed comes last. */
import type { Refusal } from "@sluice/protocol/refusal";
import { describe, expect, test } from "vitest";
import { after, behindUntilMs, called, ofFailure, ofRefusal, WELL } from "../../../src/routing/health.ts";
import { startMemory } from "../../../src/routing/isolate.ts";
import { node, NOW } from "./support.ts";

describe("blame", () => {
  test.each([
    "queue_full",
    "kv_full",
    "draining",
    "loading",
    "prompt_too_long",
    "invalid_request",
    "hold_too_small",
  ])("never falls on a node that says %s", (kind) => {
    expect(ofRefusal({ kind: kind as Refusal["kind"] })).toBe("unblamed");
  });

  test.each(["bad_mac", "stale", "bad_call", "journal_full"])(
    "falls on one that would say %s to all",
    (kind) => {
      expect(ofRefusal({ kind: kind as Refusal["kind"] })).toBe("lost");
    },
  );

  test("falls on the one model whose engine fails, and on the whole node where it is silent or away", () => {
    expect(ofFailure({ limit: "first_token" })).toBe("failed");
    expect(ofFailure({ ended: "engine_died" })).toBe("failed");
    expect(ofRefusal({ kind: "unknown_model" })).toBe("failed");
    expect(ofFailure({})).toBe("lost");
    expect(ofFailure({ ended: "node_died" })).toBe("lost");
    expect(ofFailure({ limit: "connect" })).toBe("lost");
    expect(ofFailure({ limit: "silence" })).toBe("lost");
  });

  test("falls on nobody where our own limit ran out, or a node is busy or leaving", () => {
    expect(ofFailure({ limit: "total" })).toBe("unblamed");
    expect(ofFailure({ ended: "drained" })).toBe("unblamed");
    expect(ofFailure({ ended: "no_room" })).toBe("unblamed");
  });

  test("falls on nobody where the engine is well and does not take what is asked", () => {
    expect(ofFailure({ ended: "engine_died", refused: true })).toBe("unblamed");
  });
});

describe("a node that fails", () => {
  test("comes last for a second, then twice as long, never longer than a minute", () => {
    let health = WELL;
    let nowMs = NOW;
    const pausesMs: number[] = [];
    for (let i = 0; i < 9; i++) {
      health = after(health, "failed", nowMs);
      pausesMs.push((behindUntilMs(health, nowMs) ?? 0) - nowMs);
      nowMs = health.pausedUntilMs;
      expect(behindUntilMs(health, nowMs)).toBeUndefined();
    }
    expect(pausesMs).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  test("fails once when twenty calls break with it", () => {
    let health = WELL;
    for (let i = 0; i < 20; i++) health = after(health, "failed", NOW + i);
    expect(health).toMatchObject({ failures: 1, pausedUntilMs: NOW + 1_000 });
  });

  test("is probed by one call, and is well again when that has an answer", () => {
    const paused = after(WELL, "failed", NOW);
    expect(called(paused, NOW + 10)).toBe(paused);
    const probed = called(paused, NOW + 1_000);
    expect(behindUntilMs(probed, NOW + 1_001)).toBeGreaterThan(NOW + 1_001);
    expect(behindUntilMs(after(probed, "answered", NOW + 1_500), NOW + 1_500)).toBeUndefined();
    // A client that leaves tells nothing: the next call is the probe.
    expect(behindUntilMs(after(probed, "unblamed", NOW + 1_500), NOW + 1_500)).toBeUndefined();
    expect(after(probed, "failed", NOW + 1_500).pausedUntilMs).toBe(NOW + 3_500);
  });
});

describe("what an isolate has seen for itself", () => {
  const a = node("a", { beatAtMs: NOW });

  test("is its calls: those that no beat has counted, until their prompts are evaluated, until they end", () => {
    const { call, knowledge } = startMemory();
    const model = "m";
    call(a, { model, promptTokens: 500 }, NOW - 10);
    const calling = call(a, { model, promptTokens: 300 }, NOW + 10);
    expect(knowledge(NOW + 20).own(a, model)).toEqual({
      sinceBeat: 1,
      promptTokensSinceBeat: 300,
      running: 2,
    });
    calling.began(NOW + 30);
    expect(knowledge(NOW + 40).own(a, model)).toEqual({ sinceBeat: 1, promptTokensSinceBeat: 0, running: 2 });
    calling.ended("answered", NOW + 50);
    calling.ended("answered", NOW + 50);
    expect(knowledge(NOW + 60).own(a, model)).toEqual({ sinceBeat: 0, promptTokensSinceBeat: 0, running: 1 });
  });

  test("of one model says nothing of another that the same node serves", () => {
    const { call, knowledge } = startMemory();
    call(a, { model: "m", promptTokens: 500 }, NOW + 10);
    expect(knowledge(NOW + 20).own(a, "other")).toEqual({
      sinceBeat: 0,
      promptTokensSinceBeat: 0,
      running: 0,
    });
  });

  test("is a stream that died in the middle, and not a client that left one", () => {
    const { call, knowledge } = startMemory();
    const left = call(a, { model: "m", promptTokens: 1 }, NOW);
    left.began(NOW + 5);
    left.ended("unblamed", NOW + 10);
    expect(knowledge(NOW + 10).behindUntilMs("a", "m")).toBeUndefined();
    const died = call(a, { model: "m", promptTokens: 1 }, NOW);
    died.began(NOW + 5);
    died.ended("failed", NOW + 10);
    expect(knowledge(NOW + 10).behindUntilMs("a", "m")).toBe(NOW + 1_010);
  });

  test("puts one model of a node back whose engine failed, and all of them where the node was away", () => {
    const { call, knowledge } = startMemory();
    const behind = (atMs: number): unknown[] =>
      ["m", "other"].map((model) => knowledge(atMs).behindUntilMs("a", model));
    call(a, { model: "m", promptTokens: 1 }, NOW).ended("failed", NOW);
    expect(behind(NOW)).toEqual([NOW + 1_000, undefined]);
    call(a, { model: "other", promptTokens: 1 }, NOW).ended("lost", NOW + 10);
    expect(behind(NOW + 10)).toEqual([NOW + 1_010, NOW + 1_010]);
    // An answer of one model shows that the node is back, and says nothing of the other's engine.
    call(a, { model: "other", promptTokens: 1 }, NOW + 20).began(NOW + 30);
    expect(behind(NOW + 30)).toEqual([NOW + 1_000, undefined]);
  });

  test("is how near a region has been, however slow one of its nodes is now", () => {
    const { call, knowledge } = startMemory();
    call(a, { model: "m", promptTokens: 1 }, NOW).taken(NOW + 20);
    call(a, { model: "m", promptTokens: 1 }, NOW).taken(NOW + 220);
    expect(knowledge(NOW).rttMs("eu")).toBeCloseTo(30);
    call(a, { model: "m", promptTokens: 1 }, NOW).taken(NOW + 12);
    expect(knowledge(NOW).rttMs("eu")).toBe(12);
    expect(knowledge(NOW).rttMs("elsewhere")).toBe(50);
  });
});
