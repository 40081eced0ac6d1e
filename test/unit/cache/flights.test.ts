/** Identical requests at the same time run once; and no leader's end, however silent, leaves a follower waiting. */
import { describe, expect, test } from "vitest";
import { Flights, type Follow } from "../../../src/cache/flights.ts";

/** Time that passes only when somebody waits for it. */
function clock() {
  let nowMs = 0;
  const limits = {
    waitMs: 10_000,
    nowMs: () => nowMs,
    pause: async (ms: number) => {
      await Promise.resolve();
      nowMs += ms / 100;
    },
    gone: () => false,
  };
  return { limits, later: (ms: number) => (nowMs += ms) };
}

async function leadOf(flights: Flights<string>, limits: ReturnType<typeof clock>["limits"]) {
  const joined = await flights.join("q", limits);
  if (joined.kind !== "lead") throw new Error(`not the leader but ${joined.kind}`);
  return joined.lead;
}

const kinds = (joined: readonly Follow<string>[]) => joined.map(({ kind }) => kind);

describe("a hundred at once", () => {
  test("one leads, the others get its answer", async () => {
    const flights = new Flights<string>();
    const { limits } = clock();
    const lead = await leadOf(flights, limits);
    const others = Array.from({ length: 99 }, () => flights.join("q", limits));
    lead.land({ kind: "answer", answer: "42" });
    expect(new Set((await Promise.all(others)).map((one) => one.kind === "answer" && one.answer))).toEqual(
      new Set(["42"]),
    );
    expect(flights.size).toBe(0);
  });

  test("if the leader fails, one takes over and the others wait for it", async () => {
    const flights = new Flights<string>();
    const { limits } = clock();
    const lead = await leadOf(flights, limits);
    const others = Array.from({ length: 9 }, async () => {
      const joined = await flights.join("q", limits);
      if (joined.kind === "lead") joined.lead.land({ kind: "answer", answer: "second try" });
      return joined;
    });
    lead.land({ kind: "failed" });
    expect(kinds(await Promise.all(others)).toSorted()).toEqual([...Array<string>(8).fill("answer"), "lead"]);
  });

  test("an answer that is its client's alone sends all of them off alone", async () => {
    const flights = new Flights<string>();
    const { limits } = clock();
    const lead = await leadOf(flights, limits);
    const others = Array.from({ length: 9 }, () => flights.join("q", limits));
    lead.land({ kind: "not_for_others" });
    expect(new Set(kinds(await Promise.all(others)))).toEqual(new Set(["alone"]));
  });
});

describe("a leader that never lands", () => {
  test("costs a follower ten seconds, and who comes later nothing", async () => {
    const flights = new Flights<string>();
    const { limits, later } = clock();
    await leadOf(flights, limits);
    expect((await flights.join("q", limits)).kind).toBe("alone");
    expect(limits.nowMs()).toBeGreaterThanOrEqual(10_000);
    later(1_000);
    const next = await leadOf(flights, limits);
    next.land({ kind: "failed" });
    expect(flights.size).toBe(0);
  });
});

test("a follower whose client has left stops waiting", async () => {
  const flights = new Flights<string>();
  const { limits } = clock();
  await leadOf(flights, limits);
  expect((await flights.join("q", { ...limits, gone: () => true })).kind).toBe("alone");
  expect(limits.nowMs()).toBe(0);
});
