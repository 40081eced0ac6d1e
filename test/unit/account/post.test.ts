/** What closing a request does to the balance: charged once, corrected downwards, never upwards. */
import { describe, test } from "vitest";
import { decide, type Closing } from "../../../src/account/close.ts";
import type { Hold } from "../../../src/account/facts.ts";
import { afterClosing, closedEvent, isCorrection, pendingEvent, post } from "../../../src/account/post.ts";
import { after, CLOCKS, receipt, T0, word } from "./support.ts";

const LONG_AFTER_MS = T0 + 10 * CLOCKS.pendingMaxMs;

function closing(hold: Hold): Closing {
  const decision = decide(hold, LONG_AFTER_MS, CLOCKS);
  if (decision.do === "wait") throw new Error("this request should be over");
  return decision;
}

function closed(hold: Hold): Hold {
  const how = closing(hold);
  return afterClosing(hold, how, post(hold, how), LONG_AFTER_MS);
}

describe("what closing does to the balance", () => {
  test("the cost is charged and the rest of the hold is free again", ({ expect }) => {
    const hold = after([receipt(0, "stop", { to: 30, prompt: 50, cached: 10 })]);
    // 40 x 1 000 + 10 x 100 + 30 x 2 000 nano-dollars.
    expect(post(hold, closing(hold))).toEqual({
      costNanoUsd: 101_000,
      chargedNanoUsd: 101_000,
      writeOffNanoUsd: 0,
    });
    expect(closed(hold)).toMatchObject({ state: "closed", heldNanoUsd: 0, postedNanoUsd: 101_000 });
  });

  test("a receipt that comes too late makes the usage exact, and the rise is the operator's", ({
    expect,
  }) => {
    const estimated = closed(after([word(0, "node_lost", { seenTo: 10, prompt: 50 })]));
    expect(estimated).toMatchObject({ postedNanoUsd: 70_000, closedAs: "estimated" });
    const late = after([receipt(0, "stop", { to: 30, prompt: 50, cached: 0 })], LONG_AFTER_MS, estimated);
    expect(isCorrection(late, closing(late))).toBe(true);
    expect(post(late, closing(late))).toEqual({
      costNanoUsd: 70_000,
      chargedNanoUsd: 0,
      writeOffNanoUsd: 40_000,
    });
  });

  test("a receipt that comes too late and says less gives money back", ({ expect }) => {
    const estimated = closed(after([word(0, "node_lost", { seenTo: 10, prompt: 50 })]));
    const late = after(
      [receipt(0, "client_gone", { to: 10, prompt: 50, cached: 50 })],
      LONG_AFTER_MS,
      estimated,
    );
    expect(post(late, closing(late))).toMatchObject({ costNanoUsd: 25_000, chargedNanoUsd: -45_000 });
  });

  test("an estimate never corrects what was posted", ({ expect }) => {
    const estimated = closed(after([word(0, "node_lost", { seenTo: 10, prompt: 50 })]));
    expect(isCorrection(estimated, closing(estimated))).toBe(false);
  });

  test("what a server reported corrects an estimate once, and nothing that was proved", ({ expect }) => {
    const told = { to: 12, prompt: 50, cached: 0, certainty: "reported" } as const;
    const estimated = closed(after([word(0, "node_lost", { seenTo: 10, prompt: 50 })]));
    const late = after([receipt(0, "stop", told)], LONG_AFTER_MS, estimated);
    expect(isCorrection(late, closing(late))).toBe(true);
    expect(isCorrection(closed(late), closing(late))).toBe(false);
  });

  test("the same bill a second time is no correction", ({ expect }) => {
    const exact = closed(after([receipt(0, "stop", { to: 30 })]));
    expect(isCorrection(exact, closing(exact))).toBe(false);
  });

  test("a pending row charges nothing and shows what was seen so far", ({ expect }) => {
    const hold = after([word(0, "node_lost", { seenTo: 10, prompt: 50, cached: 10 })]);
    expect(pendingEvent(hold, { seq: 7, nowMs: LONG_AFTER_MS })).toMatchObject({
      seq: 7,
      revision: 0,
      certainty: "pending",
      ended: "node_lost",
      promptTokens: 50,
      completionTokens: 10,
      costNanoUsd: 0,
      chargedNanoUsd: 0,
    });
  });

  test("a row names every attempt, where it ran and how it ended", ({ expect }) => {
    const next = { ordinal: 1, node: "node_1111111111", region: "us-1", issuedAtMs: T0 };
    const hold = after([
      word(0, "node_lost", { seenTo: 10, next }),
      receipt(1, "stop", { from: 10, to: 12, node: "node_1111111111" }),
    ]);
    const how = closing(hold);
    expect(closedEvent(hold, how, post(hold, how), { seq: 1, nowMs: T0 }).attempts).toEqual([
      { ordinal: 0, node: "node_0000000000", region: "eu-1", ended: "node_lost", to: 10 },
      { ordinal: 1, node: "node_1111111111", region: "eu-1", ended: "stop", to: 12 },
    ]);
  });
});
