/** Requests for the tests of the books' decisions: one admitted hold, and messages about it, each with what matters. */
import type { CheckedReceipt, NextCall, Word, WordWhy } from "@sluice/protocol/account";
import type { Ending } from "@sluice/protocol/receipt";
import { parseClocks } from "../../../src/account/clocks.ts";
import {
  newHold,
  noteExtension,
  noteReceipt,
  noteRenewal,
  noteWord,
  type Hold,
} from "../../../src/account/facts.ts";
import { worstCostNanoUsd } from "../../../src/account/hold.ts";

export const CLOCKS = parseClocks({});
export const REQUEST = "req_01JD0000000000000000000000";
const ACCOUNT = "acc_any_000000000000";
export const NODE = "node_0000000000";
export const OTHER_NODE = "node_1111111111";
export const UPSTREAM = "upstream_0000000000";
export const REGION = "eu-1";
/** When the request was admitted. */
export const T0 = 1_000_000;

/** $1, $0.10 and $2 per million tokens: a token of output costs 2 000 nano-dollars. */
export const PRICE = {
  id: "p1",
  inputMicroUsdPerM: 1_000_000,
  cachedMicroUsdPerM: 100_000,
  outputMicroUsdPerM: 2_000_000,
};
export const PROMPT_CEILING = 200;
export const OUTPUT_CEILING = 100;

export function admitted(change: Partial<Hold> = {}): Hold {
  const ask = {
    v: 1,
    account: ACCOUNT,
    key: { id: "key_0000000000", secretSha256: "0".repeat(64) },
    request: REQUEST,
    model: "tiny",
    stream: true,
    promptCeiling: PROMPT_CEILING,
    outputAsked: OUTPUT_CEILING,
    outputDefault: OUTPUT_CEILING,
    price: PRICE,
  };
  const grant = {
    outputCeiling: OUTPUT_CEILING,
    heldNanoUsd: worstCostNanoUsd(PRICE, PROMPT_CEILING, OUTPUT_CEILING),
    admittedAtMs: T0,
    issueByMs: T0 + CLOCKS.issueWithinMs,
    tokens: 0,
    admission: 1,
    lapseAtMs: T0 + CLOCKS.holdLapseMs,
  };
  return { ...newHold(ask, grant), ...change };
}

export type Message =
  | { readonly kind: "word"; readonly word: Word }
  | { readonly kind: "receipt"; readonly receipt: CheckedReceipt }
  | {
      readonly kind: "renewal";
      readonly ordinal: number;
      readonly position: number;
      readonly node?: string;
    };

export function call(ordinal: number, node = NODE): NextCall {
  return { ordinal, node, region: REGION, issuedAtMs: T0 + ordinal };
}

export function word(
  ordinal: number,
  why: WordWhy,
  more: Partial<
    Pick<Word, "seenTo" | "prompt" | "cached" | "reasoning" | "next" | "node" | "ended" | "counted">
  > = {},
): Message {
  return {
    kind: "word",
    word: {
      v: 1,
      account: ACCOUNT,
      request: REQUEST,
      ordinal,
      why,
      seenTo: 0,
      prompt: 0,
      cached: 0,
      node: NODE,
      region: REGION,
      next: null,
      ...more,
    },
  };
}

export function receipt(
  ordinal: number,
  ended: Ending,
  more: Partial<CheckedReceipt["receipt"]> = {},
): Message {
  return {
    kind: "receipt",
    receipt: {
      receipt: {
        v: 1,
        ticket: "t1:x",
        request: REQUEST,
        ordinal,
        choice: 0,
        node: NODE,
        boot: "boot_01JD0000000000000000000000",
        from: 0,
        to: 0,
        ended,
        prompt: 50,
        cached: 10,
        reasoning: 0,
        weights: "w1",
        begunAtMs: T0,
        endedAtMs: T0,
        queueMs: 0,
        prefillMs: 0,
        ...more,
      },
      region: REGION,
      promptCeiling: PROMPT_CEILING,
      outputCeiling: OUTPUT_CEILING,
    },
  };
}

export function renewal(ordinal: number, position: number, node = NODE): Message {
  return { kind: "renewal", ordinal, position, node };
}

function hear(hold: Hold, message: Message, atMs: number): Hold {
  const lapse = CLOCKS.holdLapseMs;
  switch (message.kind) {
    case "word":
      return noteWord(hold, message.word, atMs, lapse);
    case "receipt":
      return noteReceipt(hold, message.receipt, atMs);
    case "renewal": {
      const { ordinal, position, node = NODE } = message;
      return noteRenewal(hold, { request: REQUEST, ordinal, position, node, region: REGION }, atMs, lapse);
    }
  }
}

/** The request after these messages, all heard at one moment. */
export function after(messages: readonly Message[], atMs = T0 + 1_000, hold = admitted()): Hold {
  return messages.reduce((known, message) => hear(known, message, atMs), hold);
}

export function extended(hold: Hold, ordinal: number, promptCeiling: number, atMs: number): Hold {
  return noteExtension(hold, { ...call(ordinal), promptCeiling }, atMs, CLOCKS.holdLapseMs);
}
