/**
 * Money is integer nano-dollars. Prices are integer micro-dollars per million tokens, so tokens x price is an integer
 * number of picodollars; a request's cost is their sum, rounded up once to the next nano-dollar.
 */
import type { PriceRow } from "@sluice/protocol/ticket";
import { assert } from "./assert.ts";

const NANO_PER_USD = 1_000_000_000;
const PICO_PER_NANO = 1_000;

/**
 * What a balance, on either side of nothing, can be brought to by credits. A million dollars below the last safe integer: what
 * refunds give back on top stays one, too.
 */
export const BALANCE_NANO_USD_MAX = 8_000_000 * NANO_PER_USD;

/** What these tokens cost under this row, in nano-dollars. `cachedTokens` are a part of `promptTokens`. */
export function costNanoUsd(
  price: PriceRow,
  tokens: { readonly promptTokens: number; readonly cachedTokens: number; readonly completionTokens: number },
): number {
  const cached = Math.min(tokens.cachedTokens, tokens.promptTokens);
  const pico =
    (tokens.promptTokens - cached) * price.inputMicroUsdPerM +
    cached * price.cachedMicroUsdPerM +
    tokens.completionTokens * price.outputMicroUsdPerM;
  assert(Number.isSafeInteger(pico) && pico >= 0, "a cost fits in a safe integer of picodollars");
  return Math.ceil(pico / PICO_PER_NANO);
}

/** What an answer out of the cache costs: nothing, unless the price book says so. */
export function hitCostNanoUsd(
  price: PriceRow,
  tokens: { readonly promptTokens: number; readonly completionTokens: number },
): number {
  const pico =
    tokens.promptTokens * (price.hitInputMicroUsdPerM ?? 0) +
    tokens.completionTokens * (price.hitOutputMicroUsdPerM ?? 0);
  assert(Number.isSafeInteger(pico) && pico >= 0, "a cost fits in a safe integer of picodollars");
  return Math.ceil(pico / PICO_PER_NANO);
}

/** Reads "12.34" (up to nine decimals, a sign allowed) as nano-dollars; undefined where it is no such number. */
export function parseUsd(text: string): number | undefined {
  const match = /^(-?)(\d{1,7})(?:\.(\d{1,9}))?$/.exec(text.trim());
  if (match === null) return undefined;
  const nano = Number(match[2]) * NANO_PER_USD + Number((match[3] ?? "").padEnd(9, "0"));
  return match[1] === "-" ? -nano : nano;
}

/** Prints nano-dollars as dollars, with two decimals at least and no more than needed. */
export function printUsd(nanoUsd: number): string {
  const size = Math.abs(nanoUsd);
  const fraction = String(size % NANO_PER_USD)
    .padStart(9, "0")
    .replace(/0{1,7}$/, "");
  return `${nanoUsd < 0 ? "-" : ""}${Math.floor(size / NANO_PER_USD)}.${fraction}`;
}
