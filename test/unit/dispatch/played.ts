/** Plays walks by script: how each call ends is given, and what was asked and said is written down. */
import { FaultError, type Fault } from "../../../src/core/fault.ts";
import type { LiveNode } from "../../../src/core/node.ts";
import { walk, type Saying, type Steps, type Tried } from "../../../src/dispatch/walk.ts";

export const nodes = ["a", "b", "c"].map((id) => ({ id, region: "eu" }) as LiveNode);
export const nobody = { kind: "overloaded", retryAfterMs: 2_000 } as const;
export const dead = { id: "dead", region: "eu" } as LiveNode;

type Story = { readonly asked: string[]; readonly said: Saying[]; readonly dropped: string[] };

/** Plays a walk in which each call ends as the script says, by ordinal. */
export function play(
  script: readonly Tried<string>[],
  change: Partial<Steps<string>> = {},
  ranking: readonly LiveNode[] = nodes,
): { story: Story; walked: ReturnType<typeof walk<string>> } {
  const story: Story = { asked: [], said: [], dropped: [] };
  const walked = walk(ranking, {
    after: undefined,
    promptCeiling: 100,
    extended: false,
    nobody,
    issueByMs: 10_000,
    roomUntilMs: 0,
    nowMs: () => 5_000,
    contextTokens: () => undefined,
    waitMs: () => new Promise(() => undefined),
    drop: (answer) => story.dropped.push(answer),
    tell: (saying) => {
      story.said.push(saying);
      return Promise.resolve("open");
    },
    extend: (_, promptCeiling) => Promise.resolve({ ok: true, promptCeiling, heldNanoUsd: 1 }),
    attempt: (naming, promptCeiling) => {
      story.asked.push(`${naming.node.id}${naming.ordinal}:${promptCeiling}`);
      return Promise.resolve(script[naming.ordinal] ?? { kind: "failed", why: "node_lost" });
    },
    ...change,
  });
  return { story, walked };
}

export async function faultOf(walked: Promise<unknown>): Promise<Fault> {
  try {
    await walked;
  } catch (error) {
    if (error instanceof FaultError) return error.fault;
    throw error;
  }
  throw new Error("the walk arrived");
}

export const content = { kind: "content", answer: "answer" } as const;
export const lost = { kind: "failed", why: "node_lost" } as const;
export const busy = { kind: "refused", refusal: { kind: "queue_full", retryAfterMs: 700 } } as const;

/** A clock that stands still but for the waits of a walk. */
export function waiting(untilMs: number): {
  readonly waitsMs: number[];
  readonly steps: Partial<Steps<string>>;
} {
  const waitsMs: number[] = [];
  let nowMs = 5_000;
  return {
    waitsMs,
    steps: {
      roomUntilMs: untilMs,
      nowMs: () => nowMs,
      waitMs: (ms) => {
        waitsMs.push(ms);
        nowMs += ms;
        return Promise.resolve();
      },
    },
  };
}
