/**
 * What became of one request, as a client is told: its final cost and how sure it is, every attempt with node and
 * region, and each attempt's receipt as the node signed it, so that the bill can be checked by whoever pays it (see
 * `sluice verify`). Pure.
 */
import type { UsageEvent } from "@sluice/protocol/account-log";
import type { PriceRow } from "@sluice/protocol/ticket";
import type { RunningRequest } from "../core/account.ts";
import { printUsd } from "../core/money.ts";

export type Generation = UsageEvent | RunningRequest;

/**
 * `price` is the row it was admitted under; undefined where the price book does not have it (any more). What upstreams charge the
 * operator is told to the operator alone.
 */
export function printGeneration(
  generation: Generation,
  price: PriceRow | undefined,
  to: "account" | "operator" = "account",
) {
  const { request, model, stream, key, admittedAtMs, priceId } = generation;
  const common = {
    object: "generation",
    id: request,
    completion_id: request.replace("req_", "chatcmpl-"),
    model,
    stream,
    api_key_id: key,
    created: Math.floor(admittedAtMs / 1_000),
    admitted_at_ms: admittedAtMs,
  };
  const attempts = generation.attempts.map(({ receipt = null, upstreamCostNanoUsd, ...attempt }) => ({
    ...attempt,
    ...(upstreamCostNanoUsd === undefined || to === "account"
      ? {}
      : { upstream_cost_nano_usd: upstreamCostNanoUsd }),
    receipt,
  }));
  if (generation.kind === "running")
    return { ...common, state: "running", price: printPrice(priceId, price), attempts };
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = generation;
  return {
    ...common,
    state: generation.certainty === "pending" ? "pending" : "closed",
    closed_at_ms: generation.closedAtMs,
    revision: generation.revision,
    /**
     * exact: by a receipt; reported: by an upstream, which signs none; pending: the receipt is missing, nothing is charged yet;
     * estimated, unknown: it never came.
     */
    certainty: generation.certainty,
    ended: generation.ended,
    weights: generation.weights,
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
      prompt_tokens_details: { cached_tokens: cachedTokens },
      completion_tokens_details: { reasoning_tokens: reasoningTokens },
    },
    cost: {
      currency: "USD",
      amount: printUsd(generation.costNanoUsd),
      nano_usd: generation.costNanoUsd,
      /** What a late receipt proved beyond what was held: borne by the operator, not by the account. */
      write_off_nano_usd: generation.writeOffNanoUsd,
    },
    price: printPrice(priceId, price),
    attempts,
  };
}

function printPrice(id: string, price: PriceRow | undefined) {
  if (price === undefined) return { id };
  return {
    id,
    input_micro_usd_per_m: price.inputMicroUsdPerM,
    cached_micro_usd_per_m: price.cachedMicroUsdPerM,
    output_micro_usd_per_m: price.outputMicroUsdPerM,
    hit_input_micro_usd_per_m: price.hitInputMicroUsdPerM ?? 0,
    hit_output_micro_usd_per_m: price.hitOutputMicroUsdPerM ?? 0,
  };
}
