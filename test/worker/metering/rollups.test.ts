/** Rollups are the sum of the newest revisions, whatever the queue does and however often a bill is corrected. */
import type { AccountEvent, UsageEvent } from "@sluice/protocol/account-log";
import fc from "fast-check";
import { describe, test } from "vitest";
import { HOUR_MS } from "../../../src/db/rollups.ts";
import { newRequest, openAccount } from "../account/support.ts";
import { rollupsOf } from "./books.ts";
import { batchOf, deliver, usage } from "./support.ts";

async function sums(account: string) {
  const rows = await rollupsOf(account);
  return rows.filter((row) => row.requests > 0);
}

/** The same, computed from the log alone. */
function expected(account: string, log: readonly AccountEvent[]) {
  const newest = new Map<string, UsageEvent>();
  for (const event of log) if (event.kind === "usage") newest.set(event.request, event);
  const buckets = new Map<string, Record<string, number | string>>();
  for (const event of newest.values()) {
    const hourMs = event.admittedAtMs - (event.admittedAtMs % HOUR_MS);
    const region = event.attempts.at(-1)?.region ?? "";
    const name = [String(hourMs).padStart(12), event.key, event.model, region].join(" ");
    const bucket = buckets.get(name);
    const add = (field: keyof UsageEvent): number => Number(bucket?.[field] ?? 0) + Number(event[field]);
    buckets.set(name, {
      account,
      hourMs,
      key: event.key,
      model: event.model,
      region,
      requests: Number(bucket?.["requests"] ?? 0) + 1,
      promptTokens: add("promptTokens"),
      cachedTokens: add("cachedTokens"),
      completionTokens: add("completionTokens"),
      reasoningTokens: add("reasoningTokens"),
      costNanoUsd: add("costNanoUsd"),
      writeOffNanoUsd: add("writeOffNanoUsd"),
    });
  }
  return [...buckets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, bucket]) => bucket);
}

/** A log of requests over three hours, two models and two regions; some are corrected once or twice. */
const Log = fc
  .array(
    fc.record({
      request: fc.nat(5),
      hour: fc.nat(2),
      model: fc.constantFrom("a", "b"),
      region: fc.constantFrom("eu-1", "us-1"),
      tokens: fc.nat(50),
      cost: fc.nat(1_000),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((steps) => {
    const known = new Map<number, UsageEvent>();
    return steps.map(({ request, hour, model, region, tokens, cost }, at) => {
      const before = known.get(request);
      const event = usage(at + 1, cost - (before?.costNanoUsd ?? 0), {
        request: before?.request ?? newRequest(),
        revision: (before?.revision ?? -1) + 1,
        // What a request was admitted as does not change; where it ended up may.
        model: before?.model ?? model,
        admittedAtMs: before?.admittedAtMs ?? (hour + 1) * HOUR_MS + at,
        completionTokens: tokens,
        costNanoUsd: cost,
        attempts: [{ ordinal: 0, node: "node_0000000000", region, ended: "stop", to: tokens }],
      });
      known.set(request, event);
      return event;
    });
  });

describe("rollups", () => {
  test("are the same for any order, cut and repetition of the batches, corrections included", async ({
    expect,
  }) => {
    const cuts = fc.array(
      fc.array(fc.tuple(fc.nat(13), fc.integer({ min: 1, max: 14 })), { minLength: 1, maxLength: 3 }),
      { maxLength: 5 },
    );
    await fc.assert(
      fc.asyncProperty(Log, cuts, async (log, queue) => {
        const account = (await openAccount(0)).id;
        for (const pieces of queue) {
          const messages = pieces
            .map(([from, size]) => log.slice(from, from + size))
            .filter((events) => events.length > 0);
          await deliver(messages.map((events) => batchOf(account, events)));
        }
        await deliver([batchOf(account, log)]);
        expect(await sums(account)).toEqual(expected(account, log));
        await deliver([batchOf(account, log)]);
        expect(await sums(account)).toEqual(expected(account, log));
      }),
      { numRuns: 12 },
    );
  });

  test("lose a request from the region it turned out not to have run in", async ({ expect }) => {
    const account = (await openAccount(0)).id;
    const pending = usage(1, 0, {
      certainty: "pending",
      attempts: [],
      admittedAtMs: HOUR_MS,
      completionTokens: 3,
    });
    await deliver([batchOf(account, [pending])]);
    expect(await sums(account)).toMatchObject([{ region: "", requests: 1, completionTokens: 3 }]);
    const exact = usage(2, 9, { request: pending.request, revision: 1, admittedAtMs: HOUR_MS });
    await deliver([batchOf(account, [exact])]);
    expect(await sums(account)).toMatchObject([
      { region: "eu-1", requests: 1, completionTokens: 7, costNanoUsd: 9 },
    ]);
  });
});
