/**
 * From how a request closed to what its closing does to the balance, and the event that says so. Pure.
 * Invariant: over all revisions of a request, what was charged adds up to its cost, and the cost never exceeds what was
 * held for it. What a receipt proves beyond that, too late, is written off: the operator's loss, never the customer's.
 */
import type { AdmitAsk, HitAsk } from "@sluice/protocol/account";
import type { AttemptTrace, UsageEvent } from "@sluice/protocol/account-log";
import { costNanoUsd, hitCostNanoUsd } from "../core/money.ts";
import { seenSoFar, type Closing } from "./close.ts";
import { endingOf, type Hold } from "./facts.ts";

export type Posting = {
  readonly costNanoUsd: number;
  /** Taken from the balance now; negative where money comes back. */
  readonly chargedNanoUsd: number;
  readonly writeOffNanoUsd: number;
};

export function post(hold: Hold, closing: Closing): Posting {
  const full = fullCostNanoUsd(hold, closing);
  const cost = Math.min(full, hold.postedNanoUsd + hold.heldNanoUsd);
  return {
    costNanoUsd: cost,
    chargedNanoUsd: cost - hold.postedNanoUsd,
    writeOffNanoUsd: full - cost,
  };
}

/** The hold once its closing is posted: nothing is held any more. */
export function afterClosing(hold: Hold, closing: Closing, posting: Posting, forgetAtMs: number): Hold {
  return {
    ...hold,
    state: "closed",
    heldNanoUsd: 0,
    postedNanoUsd: posting.costNanoUsd,
    writtenOffNanoUsd: posting.writeOffNanoUsd,
    closedAs: closing.certainty,
    closedBy: closing.ordinal,
    tokens: closing.promptTokens + closing.completionTokens,
    revision: hold.revision + 1,
    dueAtMs: forgetAtMs,
  };
}

/**
 * Whether a closing says more than the one that was posted before. Only proof revises: an estimate never does, and what a
 * server reported does where nobody knew better. What a later attempt says is more always, though it should cost the same:
 * whoever then hears the word that names this attempt need not wait for it.
 */
export function isCorrection(hold: Hold, closing: Closing): boolean {
  const later = closing.ordinal > (hold.closedBy ?? hold.attempts.length - 1);
  if (later && (closing.certainty === "exact" || closing.certainty === "reported")) return true;
  if (closing.certainty === "reported") return hold.closedAs === "estimated" || hold.closedAs === "unknown";
  if (closing.certainty !== "exact") return false;
  const before = hold.postedNanoUsd + hold.writtenOffNanoUsd;
  const tokens = closing.promptTokens + closing.completionTokens;
  // Of what is free the cost alone says nothing.
  const same = fullCostNanoUsd(hold, closing) === before && tokens === (hold.tokens ?? tokens);
  return hold.closedAs !== "exact" || !same;
}

function fullCostNanoUsd({ price }: Hold, closing: Closing): number {
  return closing.ended === "recalled" ? hitCostNanoUsd(price, closing) : costNanoUsd(price, closing);
}

/** A cached answer that was known before the admission: it is over as soon as it has begun. */
export function hitEvent(
  ask: AdmitAsk,
  hit: HitAsk,
  cost: number,
  at: { readonly seq: number; readonly nowMs: number },
): UsageEvent {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = hit;
  return {
    kind: "usage",
    seq: at.seq,
    request: ask.request,
    revision: 0,
    key: ask.key.id,
    model: ask.model,
    stream: ask.stream,
    certainty: "exact",
    ended: "recalled",
    promptTokens,
    cachedTokens,
    completionTokens,
    reasoningTokens,
    costNanoUsd: cost,
    chargedNanoUsd: cost,
    writeOffNanoUsd: 0,
    priceId: ask.price.id,
    weights: "",
    attempts: [],
    admittedAtMs: at.nowMs,
    closedAtMs: at.nowMs,
  };
}

export function closedEvent(
  hold: Hold,
  closing: Closing,
  posting: Posting,
  at: { readonly seq: number; readonly nowMs: number },
): UsageEvent {
  const { certainty, ended, weights, promptTokens, cachedTokens, completionTokens, reasoningTokens } =
    closing;
  const numbers = { promptTokens, cachedTokens, completionTokens, reasoningTokens };
  return { ...common(hold, at), certainty, ended, weights, ...numbers, ...posting };
}

/** The receipt is overdue: the money is still held, nothing is charged, and the history says so. */
export function pendingEvent(hold: Hold, at: { readonly seq: number; readonly nowMs: number }): UsageEvent {
  return {
    ...common(hold, at),
    certainty: "pending",
    ended: pendingAs(hold),
    weights: "",
    ...seenSoFar(hold),
    costNanoUsd: hold.postedNanoUsd,
    chargedNanoUsd: 0,
    writeOffNanoUsd: hold.writtenOffNanoUsd,
  };
}

function common(hold: Hold, { seq, nowMs }: { readonly seq: number; readonly nowMs: number }) {
  return {
    kind: "usage",
    seq,
    request: hold.request,
    revision: hold.revision,
    key: hold.key,
    model: hold.model,
    stream: hold.stream,
    priceId: hold.price.id,
    attempts: hold.attempts.map(trace),
    admittedAtMs: hold.admittedAtMs,
    closedAtMs: nowMs,
  } as const;
}

/** An attempt as it will be looked up later. */
export function trace({
  ordinal,
  node,
  region,
  word,
  receipt,
  position,
}: Hold["attempts"][number]): AttemptTrace {
  const to = receipt?.to ?? Math.max(position, word?.seenTo ?? 0);
  const ended = word === null ? (receipt?.ended ?? "unheard") : endingOf(word);
  const signed = receipt?.signed;
  const counted = word?.counted;
  return {
    ordinal,
    node,
    region,
    ended,
    to,
    ...(signed === undefined ? {} : { receipt: signed }),
    ...(counted === undefined ? {} : { upstreamCostNanoUsd: counted.costNanoUsd }),
  };
}

function pendingAs(hold: Hold): string {
  const word = hold.attempts.at(-1)?.word;
  return word === undefined || word === null ? "pending" : endingOf(word);
}
