/**
 * How large a hold is: the most a request may cost, set aside before it runs. Pure.
 * Invariant: whatever a receipt within the ceilings says costs no more than the hold, and the hold never exceeds what
 * is free; so no request that was admitted can take the balance below zero.
 *
 * A prompt is held at the dearer of its two prices, as if nothing were cached: how much is, only the node knows later.
 */
import type { PriceRow } from "@sluice/protocol/ticket";
import { costNanoUsd } from "../core/money.ts";

/** A client that names no `max_tokens` is offered this part of what is free... */
const FREE_PARTS = 4;
/** ...but never less than this: an answer of a few words helps nobody. */
const OUTPUT_TOKENS_MIN = 256;
const PICO_PER_NANO = 1_000;

export type HoldAsk = {
  readonly price: PriceRow;
  readonly promptCeiling: number;
  readonly outputAsked: number | null;
  readonly outputDefault: number;
};

export type Funds = { readonly balanceNanoUsd: number; readonly heldNanoUsd: number };

/** What the limits leave: both only matter to a client that named no `max_tokens`. */
export type Bounds = {
  /** Of the tightest budget; infinite where there is none. */
  readonly roomNanoUsd: number;
  /** The smallest limit on tokens per minute. */
  readonly tokensMax: number | null;
};

export type HoldSize =
  | { readonly ok: true; readonly outputCeiling: number; readonly heldNanoUsd: number }
  | {
      readonly ok: false;
      readonly neededNanoUsd: number;
      readonly freeNanoUsd: number;
      /** The balance would do if the requests that run now cost nothing. */
      readonly heldByOthers: boolean;
    };

/** What the tokens of a request cost at most. */
export function worstCostNanoUsd(price: PriceRow, promptCeiling: number, outputCeiling: number): number {
  const dearest = {
    ...price,
    inputMicroUsdPerM: Math.max(price.inputMicroUsdPerM, price.cachedMicroUsdPerM),
  };
  return costNanoUsd(dearest, {
    promptTokens: promptCeiling,
    cachedTokens: 0,
    completionTokens: outputCeiling,
  });
}

function outputCeilingFor(ask: HoldAsk, freeNanoUsd: number, tokensMax: number | null): number {
  if (ask.outputAsked !== null) return ask.outputAsked;
  return Math.min(
    ask.outputDefault,
    withinMoney(ask, freeNanoUsd),
    tokensMax === null ? ask.outputDefault : withinTokens(tokensMax - ask.promptCeiling),
  );
}

function withinMoney({ price, outputDefault }: HoldAsk, freeNanoUsd: number): number {
  const rate = price.outputMicroUsdPerM;
  if (rate === 0) return outputDefault;
  const affordable = Math.floor((freeNanoUsd / FREE_PARTS / rate) * PICO_PER_NANO);
  return Math.max(OUTPUT_TOKENS_MIN, affordable);
}

/** A limit on tokens per minute is shared out like money, and never asked for more than it could ever give. */
function withinTokens(left: number): number {
  return Math.max(1, Math.floor(left / FREE_PARTS), Math.min(OUTPUT_TOKENS_MIN, left));
}

const UNBOUNDED: Bounds = { roomNanoUsd: Number.POSITIVE_INFINITY, tokensMax: null };

export function sizeHold(ask: HoldAsk, funds: Funds & Partial<Bounds>): HoldSize {
  const { balanceNanoUsd, heldNanoUsd, roomNanoUsd, tokensMax } = { ...UNBOUNDED, ...funds };
  const freeNanoUsd = balanceNanoUsd - heldNanoUsd;
  const outputCeiling = outputCeilingFor(ask, Math.min(freeNanoUsd, roomNanoUsd), tokensMax);
  const neededNanoUsd = worstCostNanoUsd(ask.price, ask.promptCeiling, outputCeiling);
  // What is free of charge runs on an empty balance too.
  if (neededNanoUsd === 0 || neededNanoUsd <= freeNanoUsd)
    return { ok: true, outputCeiling, heldNanoUsd: neededNanoUsd };
  const heldByOthers = neededNanoUsd <= balanceNanoUsd;
  return { ok: false, neededNanoUsd, freeNanoUsd, heldByOthers };
}
