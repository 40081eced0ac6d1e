/** Events as an account's object sends them, and a queue that delivers them in any way it likes. */
import type { AccountEvent, EventBatch, UsageEvent } from "@sluice/protocol/account-log";
import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { consumeEvents } from "../../../src/metering/project.ts";
import { newRequest } from "../account/support.ts";

type Answer = { readonly acked: readonly string[]; readonly retried: readonly string[] };

let messages = 0;

/** Delivers these batches as one batch of the queue. */
export async function deliver(
  batches: readonly EventBatch[],
  queue = "sluice-events",
  where = env,
): Promise<Answer> {
  const batch = createMessageBatch(
    queue,
    batches.map((body) => ({ id: `m${messages++}`, timestamp: new Date(), attempts: 1, body })),
  );
  const ctx = createExecutionContext();
  await consumeEvents(batch, where);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, ctx);
  return { acked: explicitAcks, retried: retryMessages.map(({ msgId }) => msgId) };
}

export function usage(seq: number, chargedNanoUsd: number, change: Partial<UsageEvent> = {}): UsageEvent {
  return {
    kind: "usage",
    seq,
    request: newRequest(),
    revision: 0,
    key: "key_0000000000",
    model: "tiny",
    stream: true,
    certainty: "exact",
    ended: "stop",
    promptTokens: 5,
    cachedTokens: 2,
    completionTokens: 7,
    reasoningTokens: 1,
    costNanoUsd: chargedNanoUsd,
    chargedNanoUsd,
    writeOffNanoUsd: 0,
    priceId: "p1",
    weights: "w1",
    attempts: [{ ordinal: 0, node: "node_0000000000", region: "eu-1", ended: "stop", to: 7 }],
    admittedAtMs: 1,
    closedAtMs: 2,
    ...change,
  };
}

export function credit(seq: number, amountNanoUsd: number): AccountEvent {
  return { kind: "credit", seq, creditId: `c${seq}`, amountNanoUsd, note: "hello", atMs: 3 };
}

export function batchOf(account: string, events: readonly AccountEvent[]): EventBatch {
  return { v: 1, account, events: [...events] };
}
