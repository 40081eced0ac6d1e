/** Nodes and knowledge for tests of routing, each thing as ordinary as it can be unless a test says otherwise. */
import { marksOf, trailOf, type Marks } from "@sluice/protocol/sketch";
import type { LiveNode } from "../../../src/core/node.ts";
import type { Knowledge } from "../../../src/routing/choose.ts";

export const NOW = 1_000_000;

export type NodeChange = Partial<Omit<LiveNode, "load">>;

export function node(id: string, change: NodeChange = {}, load: Partial<LiveNode["load"]> = {}): LiveNode {
  return {
    id,
    region: "eu",
    url: "https://node.example",
    publicKey: "",
    boot: "boot",
    state: "ready",
    models: [{ id: "m", weights: "w", contextTokens: 4_096, features: [] }],
    load: {
      slots: 4,
      slotsBusy: 0,
      queued: 0,
      queueMax: 16,
      prefillTokensPending: 0,
      prefillTokensPerS: 1_000,
      decodeTokensPerS: 100,
      kvTokensFree: 10_000,
      ...load,
    },
    speaks: { min: 1, max: 1 },
    callKeyIds: ["k1"],
    beatAtMs: NOW,
    ...change,
  };
}

/** Nothing known but the snapshot. */
export function cold(change: Partial<Knowledge> = {}): Knowledge {
  return {
    nowMs: NOW,
    own: () => ({ sinceBeat: 0, promptTokensSinceBeat: 0, running: 0 }),
    rttMs: () => 50,
    behindUntilMs: () => undefined,
    heldChars: () => 0,
    ...change,
  };
}

/** A prompt of so many characters in one message. */
export function prompt(chars: number): Marks {
  const messages = [{ role: "user", content: "x".repeat(chars) }];
  return marksOf(trailOf({ model: "m", thinkingDefault: false, body: { messages } }), "k1-tag");
}
