/** DESIGN's "Money, precisely", one sentence per row: what is known of a request, and what it is then billed for. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { decide, NEVER_BEGAN, type Closing, type Decision } from "../../../src/account/close.ts";
import type { Hold } from "../../../src/account/facts.ts";
import { life, shuffledLife } from "./lives.ts";
import {
  admitted,
  after,
  call,
  CLOCKS,
  extended,
  OTHER_NODE,
  OUTPUT_CEILING,
  PROMPT_CEILING,
  receipt,
  renewal,
  T0,
  word,
  type Message,
} from "./support.ts";

const HEARD_MS = T0 + 1_000;
const LAPSED_MS = HEARD_MS + CLOCKS.holdLapseMs;
const LONG_AFTER_MS = LAPSED_MS + CLOCKS.pendingMaxMs;

type Expected = Pick<Closing, "certainty" | "ended" | "promptTokens" | "cachedTokens" | "completionTokens">;

function summary(decision: Decision): unknown {
  if (decision.do === "wait") return { state: decision.state, untilMs: decision.untilMs };
  const { certainty, ended, promptTokens, cachedTokens, completionTokens } = decision;
  return { certainty, ended, promptTokens, cachedTokens, completionTokens };
}

function bill(certainty: Closing["certainty"], ended: string, counts: readonly number[]): Expected {
  const [promptTokens = 0, cachedTokens = 0, completionTokens = 0] = counts;
  return { certainty, ended, promptTokens, cachedTokens, completionTokens };
}

type Row = {
  readonly name: string;
  readonly heard: readonly Message[];
  readonly stream?: boolean;
  /** When it is looked at; right after the messages where not given. */
  readonly atMs?: number;
  readonly struck?: readonly number[];
  readonly is: Expected | { readonly state: string; readonly untilMs: number };
};

const FAILED_OVER = word(0, "node_lost", { seenTo: 20, prompt: 50, cached: 10, next: call(1, OTHER_NODE) });

const ROWS: readonly Row[] = [
  {
    name: "nothing heard: the hold stays open until it lapses",
    heard: [],
    is: { state: "open", untilMs: T0 + CLOCKS.holdLapseMs },
  },
  {
    name: "a receipt of a node that was told its counts closes as reported",
    heard: [receipt(0, "stop", { to: 30, certainty: "reported" })],
    is: bill("reported", "stop", [50, 10, 30]),
  },
  {
    name: "a receipt of a node that had to count events closes as estimated",
    heard: [
      receipt(0, "engine_died", { to: 30, certainty: "estimated" }),
      word(0, "node_failed", { seenTo: 30 }),
    ],
    is: bill("estimated", "node_failed", [50, 10, 30]),
  },
  {
    name: "a natural end closes at once",
    heard: [receipt(0, "stop", { to: 30 })],
    is: bill("exact", "stop", [50, 10, 30]),
  },
  {
    name: "a natural end of an attempt that was given up does not close",
    heard: [receipt(0, "stop", { to: 30 }), FAILED_OVER],
    is: { state: "open", untilMs: LAPSED_MS },
  },
  {
    name: "after a failover the last attempt's `to` is the bill",
    heard: [FAILED_OVER, receipt(1, "length", { from: 20, to: 64 }), receipt(0, "node_died", { to: 25 })],
    is: bill("exact", "length", [50, 10, 64]),
  },
  {
    name: "a client that left pays what was evaluated and handed over",
    heard: [word(0, "client_gone", { seenTo: 7, prompt: 50 }), receipt(0, "client_gone", { to: 9 })],
    is: bill("exact", "client_gone", [50, 10, 9]),
  },
  {
    name: "a client that left during the prefill pays the prompt tokens evaluated",
    heard: [word(0, "client_gone"), receipt(0, "client_gone", { to: 0, prompt: 31, cached: 0 })],
    is: bill("exact", "client_gone", [31, 0, 0]),
  },
  {
    name: "an attempt of ours that failed without a position bills nothing",
    heard: [word(0, "node_failed"), receipt(0, "engine_died", { to: 0 })],
    is: bill("exact", "node_failed", []),
  },
  {
    name: "an attempt that the node itself gave up is written down in the node's own words",
    heard: [word(0, "node_failed", { ended: "drained" }), receipt(0, "drained", { to: 0 })],
    is: bill("exact", "drained", []),
  },
  {
    name: "a client that left an attempt which failed by itself before its first position pays nothing",
    heard: [word(0, "client_gone"), receipt(0, "engine_died", { to: 0 })],
    is: bill("exact", "client_gone", []),
  },
  {
    name: "where word and receipt tell different endings, the word is the truth",
    heard: [word(0, "timeout", { seenTo: 5, prompt: 50 }), receipt(0, "client_gone", { to: 6 })],
    is: bill("exact", "timeout", [50, 10, 6]),
  },
  {
    name: "a receipt that ended unnaturally waits for the word",
    heard: [receipt(0, "client_gone", { to: 12 })],
    is: { state: "open", untilMs: HEARD_MS + CLOCKS.closeWithoutWordMs },
  },
  {
    name: "with no word the highest receipt closes, half a minute after the last beat",
    heard: [receipt(0, "client_gone", { to: 12 })],
    atMs: HEARD_MS + CLOCKS.closeWithoutWordMs,
    is: bill("exact", "client_gone", [50, 10, 12]),
  },
  {
    name: "with no word and no position the Worker is what failed: nothing is billed",
    heard: [receipt(0, "client_gone", { to: 0 })],
    atMs: HEARD_MS + CLOCKS.closeWithoutWordMs,
    is: bill("exact", "client_gone", []),
  },
  {
    name: "a last word without its receipt frees the place and keeps the money",
    heard: [word(0, "node_lost", { seenTo: 5, prompt: 50 })],
    is: { state: "ended", untilMs: T0 + CLOCKS.holdLapseMs },
  },
  {
    name: "a last word without its receipt is pending once the hold lapses",
    heard: [word(0, "node_lost", { seenTo: 5, prompt: 50 })],
    atMs: T0 + CLOCKS.holdLapseMs,
    is: { state: "pending", untilMs: HEARD_MS + CLOCKS.pendingMaxMs },
  },
  {
    name: "a last word without its receipt is settled from what the Worker saw in the end",
    heard: [word(0, "node_lost", { seenTo: 5, prompt: 50, cached: 10 })],
    atMs: LONG_AFTER_MS,
    is: bill("estimated", "node_lost", [50, 10, 5]),
  },
  {
    name: "node and Worker both gone for good: nothing is billed, and the row says unknown",
    heard: [renewal(0, 40)],
    atMs: LONG_AFTER_MS,
    is: bill("unknown", "node_lost", []),
  },
  {
    name: "a Worker that vanished after a failover leaves at least what it had seen",
    heard: [FAILED_OVER, renewal(1, 40, OTHER_NODE)],
    atMs: LONG_AFTER_MS,
    is: bill("estimated", "node_lost", [50, 10, 20]),
  },
  {
    name: "a refusal as the last word, with nothing produced, closes at nothing at once",
    heard: [word(0, "refused")],
    is: bill("exact", "refused", []),
  },
  {
    name: "no node at all closes at nothing at once",
    heard: [word(0, "no_node", { node: null })],
    is: bill("exact", "no_node", []),
  },
  {
    name: "refused by the second node, the first attempt is what is billed",
    heard: [FAILED_OVER, word(1, "refused", { seenTo: 20 }), receipt(0, "node_died", { to: 22 })],
    is: bill("exact", "refused", [50, 10, 22]),
  },
  {
    name: "refused by the second node, the first attempt's receipt is waited for",
    heard: [FAILED_OVER, word(1, "refused", { seenTo: 20 })],
    is: { state: "ended", untilMs: LAPSED_MS },
  },
  {
    name: "an attempt in between that nothing is known of yet is waited for",
    heard: [word(2, "refused", { seenTo: 20 }), receipt(0, "node_died", { to: 22 })],
    is: { state: "ended", untilMs: T0 + CLOCKS.holdLapseMs },
  },
  {
    name: "a receipt of a refused attempt counts for nothing",
    heard: [word(0, "refused"), receipt(0, "stop", { to: 30 })],
    is: bill("exact", "refused", []),
  },
  {
    name: "an answer in one piece is billed when its node finished it",
    stream: false,
    heard: [receipt(0, "stop", { to: 30 })],
    is: bill("exact", "stop", [50, 10, 30]),
  },
  {
    name: "an answer in one piece that never got its body bills nothing, at once",
    stream: false,
    heard: [word(0, "node_lost")],
    is: bill("exact", "node_lost", []),
  },
  {
    name: "an answer in one piece that never got its body bills nothing, though the node finished it",
    stream: false,
    heard: [receipt(0, "stop", { to: 30 }), word(0, "node_lost")],
    is: bill("exact", "node_lost", []),
  },
  {
    name: "an answer in one piece is retried whole, and billed as its second node made it",
    stream: false,
    heard: [
      word(0, "node_lost", { next: call(1, OTHER_NODE) }),
      receipt(0, "node_died", { to: 40 }),
      receipt(1, "stop", { to: 33, cached: 0 }),
    ],
    is: bill("exact", "stop", [50, 0, 33]),
  },
  {
    name: "an answer in one piece whose client left is paid as far as it was made",
    stream: false,
    heard: [word(0, "client_gone"), receipt(0, "client_gone", { to: 17 })],
    is: bill("exact", "client_gone", [50, 10, 17]),
  },
  {
    name: "an answer in one piece whose Worker vanished was never delivered",
    stream: false,
    heard: [receipt(0, "client_gone", { to: 17 })],
    atMs: HEARD_MS + CLOCKS.closeWithoutWordMs,
    is: bill("exact", "client_gone", []),
  },
  {
    name: "a lapsed hold whose call no node took closes at nothing",
    heard: [],
    atMs: T0 + CLOCKS.holdLapseMs,
    struck: [0],
    is: bill("exact", NEVER_BEGAN, []),
  },
  {
    name: "a lapsed hold no beat ever named closes at nothing in the end, proof or no proof",
    heard: [],
    atMs: T0 + CLOCKS.holdLapseMs + CLOCKS.pendingMaxMs,
    is: bill("unknown", NEVER_BEGAN, []),
  },
  {
    name: "a failover whose second call never began is billed by its first receipt",
    heard: [FAILED_OVER, receipt(0, "node_died", { to: 22 })],
    atMs: LAPSED_MS,
    struck: [1],
    is: bill("exact", "node_lost", [50, 10, 22]),
  },
  {
    name: "a receipt never bills more than the edge allowed",
    heard: [receipt(0, "stop", { to: 5_000, prompt: 9_000, cached: 9_000, reasoning: 5_000 })],
    is: bill("exact", "stop", [PROMPT_CEILING, PROMPT_CEILING, OUTPUT_CEILING]),
  },
];

describe("how a request closes", () => {
  test.for(ROWS.map((row) => [row.name, row] as const))("%s", ([, row], { expect }) => {
    const hold = after(row.heard, HEARD_MS, admitted({ stream: row.stream ?? true }));
    const decision = decide(hold, row.atMs ?? HEARD_MS, CLOCKS, new Set(row.struck));
    expect(summary(decision)).toEqual(row.is);
  });

  test("an extension names the second call and strikes the first", ({ expect }) => {
    const hold = extended(admitted(), 1, 500, HEARD_MS);
    expect(hold.promptCeiling).toBe(500);
    const done = after([receipt(1, "stop", { to: 3, prompt: 400, cached: 0 })], HEARD_MS, hold);
    expect(summary(decide(done, HEARD_MS, CLOCKS))).toEqual(bill("exact", "stop", [400, 0, 3]));
  });
});

/* ---- whatever the order ------------------------------------------------------------------------------------------ */

function billed(hold: Hold): unknown {
  const decision = decide(hold, LONG_AFTER_MS, CLOCKS);
  if (decision.do === "wait") return decision;
  const { promptTokens, cachedTokens, completionTokens } = decision;
  return { promptTokens, cachedTokens, completionTokens, certainty: decision.certainty };
}

describe("whatever the order", () => {
  test("words, receipts and renewals bill the same in any order, and as often as they come", ({ expect }) => {
    fc.assert(
      fc.property(shuffledLife, ({ stream, told, heard }) => {
        const inOrder = after(told, HEARD_MS, admitted({ stream }));
        const shuffled = after(heard, HEARD_MS, admitted({ stream }));
        expect(billed(shuffled)).toEqual(billed(inOrder));
      }),
    );
  });

  test("what is known already changes nothing when it is heard again", ({ expect }) => {
    fc.assert(
      fc.property(life, ({ stream, messages }) => {
        const words = messages.filter((message) => message.kind !== "renewal");
        const once = after(words, HEARD_MS, admitted({ stream }));
        expect(after(words, HEARD_MS + 5_000, once)).toBe(once);
      }),
    );
  });

  test("every wait ends: a hold is always looked at again, and closes in the end", ({ expect }) => {
    fc.assert(
      fc.property(life, fc.integer({ min: 0, max: 10 }), ({ stream, messages }, heardMax) => {
        const hold = after(messages.slice(0, heardMax), HEARD_MS, admitted({ stream }));
        let nowMs = HEARD_MS;
        for (let looks = 0; looks < 40; looks++) {
          const decision = decide(hold, nowMs, CLOCKS);
          if (decision.do === "close") return;
          expect(decision.untilMs).toBeGreaterThan(nowMs);
          nowMs = decision.untilMs;
        }
        throw new Error("it waits for ever");
      }),
    );
  });
});
