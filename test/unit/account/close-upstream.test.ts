/** How a request closes that went to an upstream, where nobody signs a receipt: one sentence per row. */
import { describe, test } from "vitest";
import { decide, type Closing, type Decision } from "../../../src/account/close.ts";
import {
  admitted,
  after,
  call,
  CLOCKS,
  OTHER_NODE,
  OUTPUT_CEILING,
  PROMPT_CEILING,
  receipt,
  renewal,
  T0,
  UPSTREAM,
  word,
  type Message,
} from "./support.ts";

const HEARD_MS = T0 + 1_000;
const LAPSED_MS = HEARD_MS + CLOCKS.holdLapseMs;
const LONG_AFTER_MS = LAPSED_MS + CLOCKS.pendingMaxMs;

type Row = {
  readonly name: string;
  readonly heard: readonly Message[];
  readonly stream?: boolean;
  readonly atMs?: number;
  readonly struck?: readonly number[];
  readonly is: object;
};

function bill(certainty: Closing["certainty"], ended: string, counts: readonly number[]): object {
  const [promptTokens = 0, cachedTokens = 0, completionTokens = 0] = counts;
  return { certainty, ended, promptTokens, cachedTokens, completionTokens };
}

function summary(decision: Decision): object {
  if (decision.do === "wait") return { state: decision.state, untilMs: decision.untilMs };
  const { certainty, ended, promptTokens, cachedTokens, completionTokens } = decision;
  return { certainty, ended, promptTokens, cachedTokens, completionTokens };
}

/** No node has room: the first call there ever is goes to an upstream, and is named before it. */
const OVERFLOWED = word(0, "no_node", { next: call(1, UPSTREAM) });
const COUNTED = { certainty: "reported", costNanoUsd: 7 } as const;
const ANSWERED = {
  seenTo: 40,
  prompt: 60,
  cached: 5,
  reasoning: 3,
  counted: COUNTED,
  node: UPSTREAM,
  ended: "length",
} as const;

const ROWS: readonly Row[] = [
  {
    name: "an upstream's answer is billed by the Worker's word, which says what the upstream reported",
    heard: [OVERFLOWED, word(1, "answered", ANSWERED)],
    is: bill("reported", "length", [60, 5, 40]),
  },
  {
    name: "an upstream that reported nothing is billed by what was counted",
    heard: [
      OVERFLOWED,
      word(1, "answered", { ...ANSWERED, counted: { certainty: "estimated", costNanoUsd: 7 } }),
    ],
    is: bill("estimated", "length", [60, 5, 40]),
  },
  {
    name: "no word bills more than the edge allowed",
    heard: [OVERFLOWED, word(1, "answered", { ...ANSWERED, seenTo: 5_000, prompt: 9_000, cached: 9_000 })],
    is: bill("reported", "length", [PROMPT_CEILING, PROMPT_CEILING, OUTPUT_CEILING]),
  },
  {
    name: "the first word on an upstream's answer stands",
    heard: [
      OVERFLOWED,
      word(1, "answered", ANSWERED),
      word(1, "answered", { ...ANSWERED, seenTo: 90 }),
      word(1, "client_gone", { ...ANSWERED, seenTo: 1 }),
    ],
    is: bill("reported", "length", [60, 5, 40]),
  },
  {
    name: "a client that leaves an upstream's stream pays what it was sent",
    heard: [
      OVERFLOWED,
      word(1, "client_gone", {
        seenTo: 12,
        prompt: 60,
        counted: { certainty: "estimated", costNanoUsd: 7 },
        node: UPSTREAM,
      }),
    ],
    is: bill("estimated", "client_gone", [60, 0, 12]),
  },
  {
    name: "a client that leaves an upstream before its first token pays nothing",
    heard: [OVERFLOWED, word(1, "client_gone", { prompt: 60, counted: COUNTED, node: UPSTREAM })],
    is: bill("exact", "client_gone", []),
  },
  {
    name: "a client that leaves before an upstream's answer in one piece is whole pays what was made of it",
    stream: false,
    heard: [OVERFLOWED, word(1, "client_gone", { seenTo: 30, prompt: 60, counted: COUNTED, node: UPSTREAM })],
    is: bill("reported", "client_gone", [60, 0, 30]),
  },
  {
    name: "and nothing where nothing was made yet",
    stream: false,
    heard: [OVERFLOWED, word(1, "client_slow", { counted: COUNTED, node: UPSTREAM })],
    is: bill("exact", "client_slow", []),
  },
  {
    name: "an upstream's answer in one piece that failed bills nothing",
    stream: false,
    heard: [OVERFLOWED, word(1, "node_lost", { seenTo: 30, prompt: 60, counted: COUNTED, node: UPSTREAM })],
    is: bill("exact", "node_lost", []),
  },
  {
    name: "an upstream that fails before its first token is forgotten for the node after it",
    heard: [
      OVERFLOWED,
      word(1, "node_lost", { counted: COUNTED, node: UPSTREAM, next: call(2, OTHER_NODE) }),
      receipt(2, "stop", { to: 9 }),
    ],
    is: bill("exact", "stop", [50, 10, 9]),
  },
  {
    name: "an upstream that fails, and a node after it that refuses: over at once, at nothing",
    heard: [
      OVERFLOWED,
      word(1, "node_lost", { counted: COUNTED, node: UPSTREAM, next: call(2, OTHER_NODE) }),
      word(2, "refused", { node: OTHER_NODE }),
    ],
    is: bill("exact", "refused", []),
  },
  {
    name: "a node that was lost, and the upstream after it: the upstream's count is the bill",
    heard: [
      word(0, "node_lost", { next: call(1, UPSTREAM) }),
      word(1, "answered", ANSWERED),
      receipt(0, "node_died", { to: 4 }),
    ],
    is: bill("reported", "length", [60, 5, 40]),
  },
  {
    name: "a Worker that dies under an upstream leaves the money held, and no node can prove that nothing began",
    heard: [OVERFLOWED],
    atMs: LAPSED_MS,
    struck: [0],
    is: { state: "pending", untilMs: LONG_AFTER_MS },
  },
  {
    name: "and in the end nothing is billed, because nobody can know",
    heard: [OVERFLOWED, renewal(1, 30, UPSTREAM)],
    atMs: LONG_AFTER_MS,
    is: bill("unknown", "node_lost", []),
  },
];

describe("a request at an upstream", () => {
  test.for(ROWS.map((row) => [row.name, row] as const))("%s", ([, row], { expect }) => {
    const hold = after(row.heard, HEARD_MS, admitted({ stream: row.stream ?? true }));
    const decision = decide(hold, row.atMs ?? HEARD_MS, CLOCKS, new Set(row.struck));
    expect(summary(decision)).toEqual(row.is);
  });
});
