/**
 * Whether a request is over, and with which numbers. Pure: everything known of it, the clock, and the attempts that are
 * proved never to have begun (strike.ts) are arguments. DESIGN's "Money, precisely" in code; read `decide` downwards.
 *
 * Invariants: the same facts give the same answer, whatever order they came in; nothing is billed beyond the ceilings
 * the edge set, whatever a receipt claims; a rise of what was billed needs a receipt.
 *
 * An attempt is void when it has produced nothing for sure: its word says `refused` or `no_node`, or it was struck out.
 * The closing attempt is the highest one that is not void, and the bill is its `to`.
 */
import type { Counted, WordWhy } from "@sluice/protocol/account";
import type { Certainty } from "@sluice/protocol/account-log";
import { isNatural } from "@sluice/protocol/receipt";
import type { Clocks } from "./clocks.ts";
import {
  endingOf,
  isAtUpstream,
  isRefused,
  isUnheard,
  lastWord,
  type Hold,
  type KnownReceipt,
  type KnownWord,
} from "./facts.ts";
import { strikableFromMs } from "./strike.ts";

export const NEVER_BEGAN = "never_began";
/** The ordinal of an attempt, where there was none. */
const NONE = -1;
/** A pause is this part of the time it has taken so far. */
const RETRY_PARTS = 2;

export type Numbers = {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
};

export type Closing = Numbers & {
  readonly do: "close";
  readonly certainty: Exclude<Certainty, "pending">;
  readonly ended: string;
  readonly weights: string;
  /** The last attempt that was counted with: a later one that speaks has more to say. */
  readonly ordinal: number;
  /** Nothing more can come of this request: it may be forgotten. */
  readonly final: boolean;
};

export type Waiting = {
  readonly do: "wait";
  readonly state: "open" | "ended" | "pending";
  readonly untilMs: number;
};

export type Decision = Closing | Waiting;

const NOTHING: Numbers = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };

/** No node was there to sign anything: the word has the counts. */
function fromWord(word: KnownWord): Numbers {
  return {
    promptTokens: word.prompt,
    cachedTokens: word.cached,
    completionTokens: word.seenTo,
    reasoningTokens: word.reasoning ?? 0,
  };
}

/** Nothing was made and nothing is billed: it is as if it had never been asked for. */
export function cameToNothing({ ended, promptTokens, completionTokens }: Closing): boolean {
  return ended !== "recalled" && promptTokens === 0 && completionTokens === 0;
}

function clientLeft(why: WordWhy | undefined): boolean {
  return why === "client_gone" || why === "client_slow";
}

export function decide(
  hold: Hold,
  nowMs: number,
  clocks: Clocks,
  struck: ReadonlySet<number> = new Set(),
): Decision {
  const end = lastWord(hold);
  const highest = hold.attempts.at(-1);
  const highestStruck = highest !== undefined && struck.has(highest.ordinal);
  if (end?.why === "recalled")
    return closed(hold, fromWord(end), { certainty: "exact", ended: end.why, final: true });
  if (end?.counted !== undefined) return settledByWord(hold, end, end.counted);
  // An answer in one piece that failed on our side was never delivered, whatever a node made of it.
  if (end !== null && !hold.stream && !clientLeft(end.why))
    return closed(hold, NOTHING, { certainty: "exact", ended: endingOf(end), final: true });

  const closing = hold.attempts.findLast((attempt) => !isRefused(attempt) && !struck.has(attempt.ordinal));
  if (closing === undefined) {
    if (end !== null && !highestStruck)
      return closed(hold, NOTHING, { certainty: "exact", ended: endingOf(end), final: true });
    // Struck out is proof enough for money; a node that proves us wrong later still corrects the usage.
    if (highestStruck)
      return {
        ...closed(hold, NOTHING, { certainty: "exact", ended: NEVER_BEGAN, final: false }),
        ordinal: NONE,
      };
    return waitFor(hold, end, nowMs, clocks);
  }

  const { receipt } = closing;
  if (receipt === null) return waitFor(hold, end, nowMs, clocks);
  const numbers = fromReceipt(hold, receipt, end);
  // Of nothing nobody can be in doubt.
  const certainty = numbers === NOTHING ? "exact" : (receipt.certainty ?? "exact");
  const word = end ?? closing.word;
  const ended = word === null ? receipt.ended : endingOf(word);
  const known = closing === highest || end !== null || highestStruck;
  if (known && (isNatural(receipt.ended) || end !== null || highestStruck))
    return {
      ...closed(hold, numbers, { certainty, ended, final: !highestStruck }),
      weights: receipt.weights,
      ordinal: highestStruck ? closing.ordinal : hold.attempts.length - 1,
    };

  const silentAtMs = lastBeatMs(hold) + clocks.closeWithoutWordMs;
  if (nowMs >= silentAtMs)
    return { ...closed(hold, numbers, { certainty, ended, final: false }), weights: receipt.weights };
  // Its receipt is there: no row need say that it is missing, but after its lapse it fills no place any more.
  const state = nowMs < hold.lapseAtMs ? "open" : "ended";
  return { do: "wait", state, untilMs: silentAtMs };
}

/** At an upstream. What never reached a client that waited for it is nobody's to pay. */
function settledByWord(hold: Hold, end: KnownWord, { certainty }: Counted): Closing {
  // Who leaves before an answer in one piece is whole pays what was made of it, as at a node.
  const owed = hold.stream || clientLeft(end.why);
  const delivered = end.why === "answered" || (owed && end.seenTo > 0);
  const numbers = delivered ? bounded(hold, fromWord(end)) : NOTHING;
  return closed(hold, numbers, {
    certainty: delivered ? certainty : "exact",
    ended: endingOf(end),
    final: true,
  });
}

/** No receipt of the closing attempt: first the hold lapses, then the wait for the receipt ends. */
function waitFor(hold: Hold, end: KnownWord | null, nowMs: number, clocks: Clocks): Decision {
  const giveUpAtMs = (end?.atMs ?? hold.lapseAtMs) + clocks.pendingMaxMs;
  if (nowMs >= giveUpAtMs) return giveUp(hold, end);
  const state = stateNow(hold, end, nowMs);
  const closing = hold.attempts.findLast((attempt) => !isRefused(attempt));
  const nextAtMs = state === "pending" ? giveUpAtMs : Math.min(hold.lapseAtMs, giveUpAtMs);
  if (closing === undefined || !isUnheard(hold, closing)) return { do: "wait", state, untilMs: nextAtMs };
  // Perhaps it never began: the nodes are asked, and asked again with growing pauses.
  const fromMs = strikableFromMs(hold);
  const pauseMs = Math.max(clocks.strikeRetryMs, (nowMs - fromMs) / RETRY_PARTS);
  const askAtMs = nowMs < fromMs ? fromMs : Math.ceil(nowMs + pauseMs);
  return { do: "wait", state, untilMs: Math.min(askAtMs, nextAtMs) };
}

function stateNow(hold: Hold, end: KnownWord | null, nowMs: number): Waiting["state"] {
  if (nowMs >= hold.lapseAtMs) return "pending";
  return end === null ? "open" : "ended";
}

function lastBeatMs(hold: Hold): number {
  return Math.max(...hold.attempts.map((attempt) => attempt.beatAtMs ?? 0));
}

function closed(hold: Hold, numbers: Numbers, how: Pick<Closing, "certainty" | "ended" | "final">): Closing {
  return { do: "close", ...numbers, ...how, weights: "", ordinal: hold.attempts.length - 1 };
}

function fromReceipt(hold: Hold, receipt: KnownReceipt, end: KnownWord | null): Numbers {
  const natural = isNatural(receipt.ended);
  const left = clientLeft(end?.why);
  // No word: whoever was to deliver the answer is gone, and an answer in one piece with it.
  if (!hold.stream && !natural && !left) return NOTHING;
  // A client that leaves during the prefill pays what was evaluated; an attempt that failed without a position is ours.
  if (receipt.to === 0 && !natural && !(left && clientEnding(receipt))) return NOTHING;
  return bounded(hold, {
    promptTokens: receipt.prompt,
    cachedTokens: receipt.cached,
    completionTokens: receipt.to,
    reasoningTokens: receipt.reasoning,
  });
}

function clientEnding(receipt: KnownReceipt): boolean {
  return receipt.ended === "client_gone" || receipt.ended === "client_slow";
}

function bounded(hold: Hold, numbers: Numbers): Numbers {
  const promptTokens = Math.min(numbers.promptTokens, hold.promptCeiling);
  const completionTokens = Math.min(numbers.completionTokens, hold.outputCeiling);
  return {
    promptTokens,
    cachedTokens: Math.min(numbers.cachedTokens, promptTokens),
    completionTokens,
    reasoningTokens: Math.min(numbers.reasoningTokens, completionTokens),
  };
}

/** What can be said without the receipt of the closing attempt: what words saw, and what earlier attempts signed. */
export function seenSoFar(hold: Hold): Numbers {
  const words = hold.attempts.flatMap(({ word }) => (word === null ? [] : [word]));
  const receipts = hold.stream
    ? hold.attempts.flatMap((attempt) =>
        attempt.receipt === null || isRefused(attempt) ? [] : [attempt.receipt],
      )
    : [];
  const producing = receipts.find((receipt) => receipt.to > 0);
  const told = words.find((word) => word.prompt > 0);
  return bounded(hold, {
    promptTokens: producing?.prompt ?? told?.prompt ?? 0,
    cachedTokens: producing?.cached ?? told?.cached ?? 0,
    completionTokens: Math.max(
      0,
      ...words.map((word) => word.seenTo),
      ...receipts.map((receipt) => receipt.to),
    ),
    reasoningTokens: 0,
  });
}

function giveUp(hold: Hold, end: KnownWord | null): Closing {
  const heard = hold.attempts.some((attempt) => attempt.beatAtMs !== null);
  const seen = seenSoFar(hold);
  const left = clientLeft(end?.why);
  const told = hold.attempts.some((attempt) => attempt.word !== null);
  const ended = end === null ? (heard || told ? "node_lost" : NEVER_BEGAN) : endingOf(end);
  const closing = hold.attempts.findLast((attempt) => !isRefused(attempt));
  // The Worker died under an upstream: nobody is left who could know.
  if (closing !== undefined && isAtUpstream(closing))
    return closed(hold, NOTHING, { certainty: "unknown", ended, final: false });
  const undelivered = !hold.stream && !left;
  const numbers = undelivered || (seen.completionTokens === 0 && !left) ? NOTHING : seen;
  return closed(hold, numbers, {
    certainty: told || seen.completionTokens > 0 ? "estimated" : "unknown",
    ended,
    final: false,
  });
}
