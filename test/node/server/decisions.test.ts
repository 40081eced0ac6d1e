/** The node's decisions, as tables: room, queues, promises, clocks, beats, configuration. */
import { BEAT_BYTES_MAX, CALL_VALID_MS } from "@sluice/protocol/limits";
import { describe, expect, test } from "vitest";
import { failureOf } from "../../../gpu-node/src/answer/failure.ts";
import { fill } from "../../../gpu-node/src/beat/compose.ts";
import { completeThrough, isPromisedAway } from "../../../gpu-node/src/beat/complete-through.ts";
import { EdgeClock } from "../../../gpu-node/src/beat/edge-clock.ts";
import { parseConfig } from "../../../gpu-node/src/config.ts";
import { EngineFault } from "../../../gpu-node/src/engines/engine.ts";
import { Admitting } from "../../../gpu-node/src/intake/admitting.ts";
import { roomFor } from "../../../gpu-node/src/intake/room.ts";
import { Histogram } from "../../../gpu-node/src/load/histogram.ts";
import { Speed } from "../../../gpu-node/src/load/speed.ts";
import { FairQueue } from "../../../gpu-node/src/scheduler/fair-queue.ts";
import { retryAfterMs } from "../../../gpu-node/src/scheduler/retry-after.ts";
import { NoRoom, Scheduler } from "../../../gpu-node/src/scheduler/scheduler.ts";

describe("how much answer a prompt leaves room for", () => {
  const ask = {
    promptTokens: 10,
    promptCeiling: 50,
    outputCeiling: 100,
    outputAsked: undefined,
    from: 0,
    contextTokens: 1_000,
  };
  test.each([
    ["the edge's ceiling", {}, 100],
    ["the client's wish, where it is lower", { outputAsked: 20 }, 20],
    ["the context, where it is lower", { contextTokens: 30 }, 20],
    ["what earlier attempts left", { from: 40 }, 60],
    ["what earlier attempts left of the client's wish", { from: 15, outputAsked: 20 }, 5],
    ["nothing, where earlier attempts used it all", { from: 100 }, 0],
    ["the last position of the context", { contextTokens: 11 }, 1],
  ])("%s", (_what, change, outputTokensMax) => {
    expect(roomFor({ ...ask, ...change })).toEqual({ ok: true, outputTokensMax });
  });
  test.each([
    ["a prompt over the hold", { promptTokens: 51 }, { kind: "hold_too_small", promptTokens: 51 }],
    [
      "a prompt that fills the context",
      { contextTokens: 10 },
      { kind: "prompt_too_long", promptTokens: 10, contextTokens: 10 },
    ],
    [
      "both: no hold could help",
      { promptTokens: 51, contextTokens: 40 },
      { kind: "prompt_too_long", promptTokens: 51, contextTokens: 40 },
    ],
  ])("none for %s", (_what, change, refusal) => {
    expect(roomFor({ ...ask, ...change })).toEqual({ ok: false, refusal });
  });
});

describe("an attempt whose engine fails", () => {
  const spared = { ended: "engine_died", spared: true };
  test.each([
    ["with its engine", new EngineFault("engine_died", ""), false, { ended: "engine_died" }],
    ["for a reason nobody knows", new Error(), false, { ended: "engine_died" }],
    ["alone", new EngineFault("failed", ""), false, spared],
    [
      "because its engine does not take it",
      new EngineFault("unsupported", ""),
      false,
      { ...spared, refused: true },
    ],
    [
      "because its engine cannot go on with it",
      new EngineFault("unsupported", ""),
      true,
      { ...spared, refused: true },
    ],
    [
      "for want of room",
      new EngineFault("busy", "", { retryAfterMs: 9 }),
      false,
      { ...spared, ended: "no_room", retryAfterMs: 9 },
    ],
    ["for want of room, once it had begun", new EngineFault("busy", ""), true, spared],
  ])("%s", (_what, error, begun, failure) => {
    expect(failureOf(error, begun)).toEqual(failure);
  });
});

describe("waiting for a slot", () => {
  test("lanes take turns, and within a lane the first come is served first", () => {
    const queue = new FairQueue<string>();
    for (const item of ["a1", "a2", "a3", "b1", "c1", "c2"]) queue.push(item.charAt(0), item);
    expect(queue.remove("a", "a2")).toBe(true);
    expect(queue.remove("a", "a2")).toBe(false);
    const order: (string | undefined)[] = [];
    while (queue.size > 0) order.push(queue.shift());
    expect(order).toEqual(["a1", "b1", "c1", "a3", "c2"]);
    expect(queue.shift()).toBeUndefined();
  });

  test("there are never more leases than slots, and a free slot goes to whose turn it is", async () => {
    const scheduler = new Scheduler(1, 9);
    const never = new AbortController().signal;
    const first = await scheduler.acquire("a", 9_999, never);
    const order: string[] = [];
    const waiting = ["a", "a", "b"].map(async (lane, at) => {
      const lease = await scheduler.acquire(lane, 9_999, never);
      order.push(`${lane}${at}`);
      expect(scheduler.busy).toBe(1);
      lease.release();
      lease.release();
    });
    expect(scheduler.queued).toBe(3);
    first.release();
    await Promise.all(waiting);
    expect(order).toEqual(["a0", "b2", "a1"]);
    expect(scheduler.busy).toBe(0);
  });

  test("an answer that was interrupted elsewhere goes before new ones, whoever's it is", async () => {
    const scheduler = new Scheduler(1, 9);
    const never = new AbortController().signal;
    const first = await scheduler.acquire("a", 9_999, never);
    const order: string[] = [];
    const waiting = (["fresh", "again"] as const).map(async (what) => {
      const lease = await scheduler.acquire("a", 9_999, never, what === "again");
      order.push(what);
      lease.release();
    });
    expect(scheduler.queued).toBe(2);
    first.release();
    await Promise.all(waiting);
    expect(order).toEqual(["again", "fresh"]);
  });

  test("whoever leaves, or waits too long, leaves the queue at once", async () => {
    const scheduler = new Scheduler(1, 9);
    const lease = await scheduler.acquire("a", 9_999, new AbortController().signal);
    const leave = new AbortController();
    const gone = scheduler.acquire("a", 9_999, leave.signal);
    leave.abort(new Error("left"));
    await expect(gone).rejects.toThrow("left");
    await expect(scheduler.acquire("a", 1, new AbortController().signal)).rejects.toThrow(NoRoom);
    expect(scheduler.queued).toBe(0);
    lease.release();
    expect(scheduler.busy).toBe(0);
  });

  test("a call that was given a place has it, however many ask at the same moment", () => {
    const scheduler = new Scheduler(1, 1);
    const places = [scheduler.enter(), scheduler.enter(), scheduler.enter()];
    expect(places.map((place) => place !== undefined)).toEqual([true, true, false]);
    places[0]?.leave();
    places[0]?.leave();
    expect(scheduler.enter()).toBeDefined();
    expect(scheduler.enter()).toBeUndefined();
  });

  test("an answer that was interrupted elsewhere has a place where a new call has none, and there are as many as slots", () => {
    const scheduler = new Scheduler(2, 1);
    const fresh = [1, 2, 3].map(() => scheduler.enter());
    expect(fresh.every((place) => place !== undefined)).toBe(true);
    expect(scheduler.enter()).toBeUndefined();
    expect([scheduler.enter(true), scheduler.enter(true)].every((place) => place !== undefined)).toBe(true);
    expect(scheduler.enter(true)).toBeUndefined();
  });

  test.each([
    [0, 1, undefined, 2_000],
    [7, 4, 1_000, 2_000],
    [0, 64, 10, 200],
    [999, 1, 60_000, 60_000],
  ])("with %d waiting for %d slots of %s ms, come back in %d ms", (queued, slots, serviceMs, waitMs) => {
    expect(retryAfterMs(queued, slots, serviceMs)).toBe(waitMs);
  });
});

describe("`complete through`", () => {
  const ask = {
    promisedMs: 0,
    edgeNowMs: 100_000,
    pendingLastValidMs: [],
    oldestUnnamedIssuedAtMs: undefined,
  };
  test.each([
    ["stays below the present: a call of this moment may still come", {}, 99_999],
    ["stays below a call that is being looked at", { pendingLastValidMs: [95_000, 97_000] }, 94_999],
    [
      "stays below the oldest call nobody acknowledged",
      { oldestUnnamedIssuedAtMs: 80_000 },
      80_000 + CALL_VALID_MS - 1,
    ],
    ["never falls", { promisedMs: 99_000, oldestUnnamedIssuedAtMs: 10_000 }, 99_000],
    ["is nothing at the beginning of time", { edgeNowMs: 0 }, 0],
  ])("%s", (_what, change, through) => {
    expect(completeThrough({ ...ask, ...change })).toBe(through);
  });

  test("a call is promised away exactly when its last valid moment was passed", () => {
    expect(isPromisedAway(1_000, 1_000 + CALL_VALID_MS)).toBe(true);
    expect(isPromisedAway(1_000, 1_000 + CALL_VALID_MS - 1)).toBe(false);
  });

  test("calls that may yet begin are pending; refused ones are remembered while they are valid", () => {
    const admitting = new Admitting();
    expect(admitting.look("a", 1_000, 1_500)).toBe("new");
    expect(admitting.look("a", 1_000, 1_500)).toBe("replayed");
    expect(admitting.pending(1_500)).toEqual([11_000]);
    admitting.settle("a");
    expect(admitting.pending(11_000)).toEqual([]);
    expect(admitting.look("a", 1_000, 11_000)).toBe("replayed");
    expect(admitting.pending(11_001)).toEqual([]);
    expect(admitting.look("a", 1_000, 11_001)).toBe("new");
  });
});

describe("the edge's clock", () => {
  test("is believed most where the round trip was shortest, and never falls", () => {
    const clock = new EdgeClock();
    expect(clock.known).toBe(false);
    clock.learn(10_000, 100, 300);
    expect(clock.now(300)).toBe(10_100);
    expect(clock.firstReplyMs).toBe(10_000);
    // A shorter trip says that the first estimate was 55 ms too far: time stands until it is true.
    clock.learn(10_040, 335, 345);
    expect(clock.now(345)).toBe(10_100);
    expect(clock.now(445)).toBe(10_145);
  });

  test("a slow reply does not move it, until the good one is old", () => {
    const clock = new EdgeClock();
    clock.learn(1_000, 0, 10);
    clock.learn(5_000, 100, 2_100);
    expect(clock.now(2_100)).toBe(3_095);
    clock.learn(90_000, 70_000, 72_000);
    expect(clock.now(72_000)).toBe(91_000);
  });
});

test("a beat takes receipts first, and never grows over its limit", () => {
  const body = "x".repeat(4_000);
  const receipts = Array.from({ length: 400 }, (_, at) => ({ at, body }));
  const renewals = Array.from({ length: 400 }, (_, at) => ({ at, body }));
  const same = { receipt: (part: object) => part, renewal: (part: object) => part };
  const filled = fill(receipts, renewals, same);
  expect(filled.receipts.length).toBeGreaterThan(200);
  expect(filled.receipts.length).toBeLessThan(400);
  expect(filled.renewals).toEqual([]);
  expect(JSON.stringify(filled).length).toBeLessThan(BEAT_BYTES_MAX);
  expect(fill(receipts.slice(0, 2), renewals.slice(0, 2), same).renewals).toHaveLength(2);
});

test("speeds weigh measurements by their size and forget old ones", () => {
  const speed = new Speed();
  expect(speed.tokensPerS).toBe(0);
  speed.note(1_000, 1_000);
  expect(speed.tokensPerS).toBeCloseTo(1_000);
  speed.note(1, 1_000);
  expect(speed.tokensPerS).toBeGreaterThan(450);
  for (let i = 0; i < 20; i++) speed.note(2_000, 1_000);
  expect(speed.tokensPerS).toBeCloseTo(2_000, -1);
});

test("a histogram counts cumulatively, as Prometheus wants it", () => {
  const histogram = new Histogram([0.1, 1]);
  for (const seconds of [0.05, 0.5, 5]) histogram.note(seconds);
  expect(histogram.print("x_seconds", "Help.")).toBe(
    '# HELP x_seconds Help.\n# TYPE x_seconds histogram\nx_seconds_bucket{le="0.1"} 1\nx_seconds_bucket{le="1"} 2\n' +
      'x_seconds_bucket{le="+Inf"} 3\nx_seconds_sum 5.55\nx_seconds_count 3\n',
  );
});

describe("configuration", () => {
  test.each([
    ["no edge", [], {}, "give --edge"],
    ["an edge in the clear", ["--edge", "http://edge.example"], {}, "https"],
    ["standalone on a public address", ["--insecure-standalone", "--host", "10.0.0.1"], {}, "loopback"],
    ["standalone and an edge", ["--insecure-standalone", "--edge", "https://e.example"], {}, "exclude"],
    ["a port that is none", ["--insecure-standalone", "--port", "high"], {}, "--port"],
    ["a flag that does not exist", ["--turbo"], {}, "--turbo"],
    ["a variable that is wrong", ["--insecure-standalone"], { SLUICE_SLOTS: "none" }, "SLUICE_SLOTS"],
    ["a blank variable", ["--insecure-standalone"], { SLUICE_QUEUE_MAX: " " }, "SLUICE_QUEUE_MAX"],
    [
      "a switch that is neither",
      ["--insecure-standalone"],
      { SLUICE_EMBEDDINGS: "yes" },
      "SLUICE_EMBEDDINGS is 1 or 0",
    ],
    ["script options that are no JSON", ["--insecure-standalone", "--script-options", "{"], {}, "not JSON"],
  ])("%s is refused in words", (_what, argv, env, words) => {
    const parsed = parseConfig(argv, env);
    expect(parsed.ok ? "" : parsed.message).toContain(words);
  });

  test("argv goes before environment, environment before defaults", () => {
    const env = { SLUICE_EDGE: "https://edge.example", SLUICE_PORT: "1", SLUICE_JOIN: "j".repeat(32) };
    const parsed = parseConfig(["--port", "2", "--model", "models/Tiny-Q8.gguf"], env);
    expect(parsed).toMatchObject({
      ok: true,
      config: { host: "127.0.0.1", port: 2, models: [{ kind: "llama", modelId: "tiny-q8" }] },
    });
  });

  test.each([
    ["more slots than llama.cpp has", ["--slots", "257"], "at most 256 requests at once"],
    ["two models of one id", ["--model", "x/a.gguf", "--model", "y/a.gguf"], 'two models have the id "a"'],
    [
      "one name for two models",
      ["--model", "a.gguf", "--model", "b.gguf", "--as", "c"],
      "--as names one model",
    ],
    ["a list and a model beside it", ["--models", "list.json", "--model", "a.gguf"], "do not go with it"],
    ["a list that is no list", ["--models", "{}"], "a list of 1 to 64"],
    ["a list that is no JSON", ["--models", "["], "not JSON"],
    [
      "a list with a word nobody knows",
      ["--models", '[{"model":"a.gguf","slot":3}]'],
      'entry 0: there is no option "slot"',
    ],
    ["a list with a wrong number", ["--models", '[{"model":"a.gguf"},{"slots":0}]'], "entry 1: slots"],
  ])("%s is refused in words", (_what, argv, words) => {
    const parsed = parseConfig(["--insecure-standalone", ...argv], {}, (text) => text);
    expect(parsed.ok ? "" : parsed.message).toContain(words);
  });

  test("models come from flags, from a variable, or from a list in which each has settings of its own", () => {
    const modelsOf = (argv: readonly string[], env: Record<string, string> = {}): unknown => {
      const parsed = parseConfig(["--insecure-standalone", ...argv], env, (text) => text);
      return parsed.ok && parsed.config.models.map(({ modelId, model, slots }) => [modelId, model, slots]);
    };
    const flags = ["--slots", "4", "--model", "small=x/a.gguf", "--model", "hf:o/Big-GGUF:Q4_K_M"];
    expect(modelsOf(flags)).toEqual([
      ["small", "x/a.gguf", 4],
      ["big", "hf:o/Big-GGUF:Q4_K_M", 4],
    ]);
    expect(modelsOf([], { SLUICE_MODEL: "a.gguf,tiny=b.gguf" })).toEqual([
      ["a", "a.gguf", undefined],
      ["tiny", "b.gguf", undefined],
    ]);
    const list = JSON.stringify([{ id: "a", model: "a.gguf", slots: 2 }, { model: "b.gguf" }]);
    expect(modelsOf(["--slots", "6", "--models", list])).toEqual([
      ["a", "a.gguf", 2],
      ["b", "b.gguf", 6],
    ]);
    expect(modelsOf([])).toEqual([["sluice-tiny", undefined, undefined]]);
  });
});
