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

function outputCeilingFor(ask: HoldAsk, freeNanoUsd: number): number {
  if (ask.outputAsked !== null) return ask.outputAsked;
  const rate = ask.price.outputMicroUsdPerM;
  if (rate === 0) return ask.outputDefault;
  const affordable = Math.floor((freeNanoUsd / FREE_PARTS / rate) * PICO_PER_NANO);
  return Math.min(ask.outputDefault, Math.max(OUTPUT_TOKENS_MIN, affordable));
}

export function sizeHold(ask: HoldAsk, funds: Funds): HoldSize {
  const freeNanoUsd = funds.balanceNanoUsd - funds.heldNanoUsd;
  const outputCeiling = outputCeilingFor(ask, freeNanoUsd);
  const neededNanoUsd = worstCostNanoUsd(ask.price, ask.promptCeiling, outputCeiling);
  // What is free of charge runs on an empty balance too.
  if (neededNanoUsd === 0 || neededNanoUsd <= freeNanoUsd)
    return { ok: true, outputCeiling, heldNanoUsd: neededNanoUsd };
  const heldByOthers = neededNanoUsd <= funds.balanceNanoUsd;
  return { ok: false, neededNanoUsd, freeNanoUsd, heldByOthers };
}
