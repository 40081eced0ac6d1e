/**
 * The snapshot of the catalogue as it lies in KV, and the catalogue it means at a given moment. Pure.
 *
 * The snapshot holds the prices to come as well as those in force, so that a price takes effect when it says, to the
 * millisecond, and not when a cache happens to be renewed. A model without a price in force is not offered: nothing
 * runs that could not be billed.
 */
import { PriceRow } from "@sluice/protocol/ticket";
import { z } from "zod";
import type { Catalogue, Model } from "../core/catalogue.ts";

const TimedPrice = PriceRow.extend({ effectiveFromMs: z.int() });
export type TimedPrice = z.infer<typeof TimedPrice>;

export const CatalogueSnapshot = z.object({
  builtAtMs: z.int(),
  models: z.array(
    z.object({
      id: z.string(),
      contextTokens: z.int(),
      outputTokensDefault: z.int(),
      ownedBy: z.string(),
      createdS: z.int(),
      thinkingDefault: z.boolean(),
      prices: z.array(TimedPrice),
    }),
  ),
  aliases: z.array(z.object({ alias: z.string(), model: z.string(), thinkingDefault: z.boolean() })),
  regions: z.array(z.string()),
});
export type CatalogueSnapshot = z.infer<typeof CatalogueSnapshot>;

/** The latest price that has begun; of two that began together, the one whose id is greater. */
export function priceInForce(prices: readonly TimedPrice[], nowMs: number): PriceRow | undefined {
  let best: TimedPrice | undefined;
  for (const price of prices) {
    if (price.effectiveFromMs > nowMs) continue;
    if (best === undefined || isLater(price, best)) best = price;
  }
  if (best === undefined) return undefined;
  const { effectiveFromMs: _, ...row } = best;
  return row;
}

function isLater(a: TimedPrice, b: TimedPrice): boolean {
  return a.effectiveFromMs === b.effectiveFromMs ? a.id > b.id : a.effectiveFromMs > b.effectiveFromMs;
}

/** What is offered at `nowMs`, and until when that stays true if nobody changes anything. */
export function catalogueAt(
  snapshot: CatalogueSnapshot,
  nowMs: number,
): { readonly catalogue: Catalogue; readonly untilMs: number } {
  let untilMs = Infinity;
  const models: Model[] = [];
  for (const { prices, ...model } of snapshot.models) {
    for (const { effectiveFromMs } of prices)
      if (effectiveFromMs > nowMs) untilMs = Math.min(untilMs, effectiveFromMs);
    const price = priceInForce(prices, nowMs);
    if (price !== undefined) models.push({ ...model, price });
  }
  const offered = new Set(models.map((model) => model.id));
  const aliases = snapshot.aliases.filter((alias) => offered.has(alias.model));
  const { regions, builtAtMs } = snapshot;
  return { catalogue: { models, aliases, regions, builtAtMs }, untilMs };
}
