/** Queue messages as the projection reads them: what the schema says, in both spellings, and nothing with a field that is missing or odd. */
import { EventBatch } from "@sluice/protocol/account-log";
import { describe, test } from "vitest";
import { readBatch } from "../../../src/metering/read-batch.ts";

const USAGE = {
  kind: "usage",
  seq: 2,
  request: "req_01JD8Z0K3V9QXR5T7W2Y4A6C8E",
  revision: 0,
  key: "key_0123456789",
  model: "sluice-tiny",
  stream: true,
  certainty: "exact",
  ended: "stop",
  promptTokens: 24,
  cachedTokens: 8,
  completionTokens: 34,
  reasoningTokens: 0,
  costNanoUsd: 15_280,
  chargedNanoUsd: -15_280,
  writeOffNanoUsd: 0,
  priceId: "price_1",
  weights: "",
  attempts: [
    { ordinal: 0, node: null, region: null, ended: "no_node", to: 0 },
    { ordinal: 1, node: "node_1", region: "eu", ended: "stop", to: 34, receipt: { body: "{}", sig: "c2ln" } },
  ],
  admittedAtMs: 1,
  closedAtMs: 2,
};
const CREDIT = { kind: "credit", seq: 1, creditId: "first", amountNanoUsd: -5, note: "", atMs: 1 };

function batchOf(...events: readonly object[]): object {
  return { v: 1, account: "acc_any_0123456789ab", events };
}

/** The same event without each of its fields, and with each of them of a type that nothing has. */
function spoilt(event: object): [string, object][] {
  return Object.keys(event).flatMap((name) => {
    const without = Object.fromEntries(Object.entries(event).filter(([other]) => other !== name));
    return [
      [`without ${name}`, without],
      [`with an odd ${name}`, { ...event, [name]: Number.NaN }],
    ] as [string, object][];
  });
}

describe("a queue message", () => {
  test("is read as text, and as an older build sent it", ({ expect }) => {
    const batch = batchOf(CREDIT, USAGE);
    expect(EventBatch.safeParse(batch).success).toBe(true);
    expect(readBatch(batch)).toEqual(batch);
    expect(readBatch(JSON.stringify(batch))).toEqual(batch);
  });

  test("is not read where an event lacks a field of the history, or has an odd one", ({ expect }) => {
    for (const [how, event] of [...spoilt(USAGE), ...spoilt(CREDIT)]) {
      expect(EventBatch.safeParse(batchOf(event)).success, how).toBe(false);
      expect(readBatch(batchOf(event)), how).toBeUndefined();
    }
  });

  test("is not read where an attempt is odd", ({ expect }) => {
    for (const [how, attempt] of spoilt(USAGE.attempts[1] ?? {}))
      if (how !== "without receipt")
        expect(readBatch(batchOf({ ...USAGE, attempts: [attempt] })), how).toBeUndefined();
  });

  test.each([
    ["text that is no JSON", "{"],
    ["nothing", null],
    ["a version nobody here speaks", { v: 99, account: "acc_any_0123456789ab", events: [CREDIT] }],
    ["no account", { v: 1, account: "", events: [CREDIT] }],
    ["no events", { v: 1, account: "acc_any_0123456789ab", events: [] }],
    ["more events than a message has", batchOf(...Array.from({ length: 101 }, () => CREDIT))],
  ])("is not read where it is %s", (_, body) => {
    if (readBatch(body) !== undefined) throw new Error("it was read");
  });
});
