/**
 * The snapshot of the catalogue as it lies in KV, and the catalogue it means at a given moment. Pure.
 *
 * The snapshot holds the prices to come as well as those in force, so that a price takes effect when it says, to the
 * millisecond, and not when a cache happens to be renewed. A model without a price in force is not offered: nothing
 * runs that could not be billed.
 *
 * A price is a row for the whole day and a row for each window that has rates of its own; they begin together and their
 * ids are the same up to the dot. So every row has an id of its own, and a hold names exactly the rates it was made under.
 */
import { PriceRow } from "@sluice/protocol/ticket";
import { z } from "zod";
import type { Catalogue, Model } from "../core/catalogue.ts";
import { Upstream } from "../core/upstream.ts";
import { isIn, Window } from "./price-window.ts";

const TimedPrice = PriceRow.extend({
  effectiveFromMs: z.int(),
  /** Absent or null: the whole day, where no window says otherwise. */
  window: Window.nullable().optional(),
});
export type TimedPrice = z.infer<typeof TimedPrice>;

/** A change of the clock on a wall, and with it a window's edge, is a whole minute. */
const MINUTE_MS = 60_000;

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
  /** Those that take calls. A snapshot of an older build has none. */
  upstreams: z.array(Upstream).optional(),
});
export type CatalogueSnapshot = z.infer<typeof CatalogueSnapshot>;

/** What the rows of one price have in common. */
export function priceName(id: string): string {
  return id.split(".")[0] ?? id;
}

/** All rows of the latest price that has begun; of two that began together, the one made later. */
export function pricesInForce(prices: readonly TimedPrice[], nowMs: number): readonly TimedPrice[] {
  let best: TimedPrice | undefined;
  for (const price of prices) {
    if (price.effectiveFromMs > nowMs) continue;
    if (best === undefined || isLater(price, best)) best = price;
  }
  if (best === undefined) return [];
  const name = priceName(best.id);
  return prices.filter((price) => priceName(price.id) === name);
}

function isLater(a: TimedPrice, b: TimedPrice): boolean {
  return a.effectiveFromMs === b.effectiveFromMs
    ? priceName(a.id) > priceName(b.id)
    : a.effectiveFromMs > b.effectiveFromMs;
}

/** The row that a request admitted now is billed under: that of the window, or else of the whole day. */
export function priceInForce(prices: readonly TimedPrice[], nowMs: number): PriceRow | undefined {
  return rowAt(pricesInForce(prices, nowMs), nowMs);
}

function rowAt(price: readonly TimedPrice[], nowMs: number): PriceRow | undefined {
  const inWindow = price.find(({ window }) => window && isIn(window, nowMs));
  const found = inWindow ?? price.find(({ window }) => !window);
  if (found === undefined) return undefined;
  const { effectiveFromMs: _, window: __, ...row } = found;
  return row;
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
    const inForce = pricesInForce(prices, nowMs);
    if (inForce.some(({ window }) => window))
      untilMs = Math.min(untilMs, (Math.floor(nowMs / MINUTE_MS) + 1) * MINUTE_MS);
    const price = rowAt(inForce, nowMs);
    if (price !== undefined) models.push({ ...model, price });
  }
  const offered = new Set(models.map((model) => model.id));
  const aliases = snapshot.aliases.filter((alias) => offered.has(alias.model));
  const { regions, upstreams = [], builtAtMs } = snapshot;
  const places = [...new Set([...regions, ...upstreams.map(({ region }) => region)])];
  return { catalogue: { models, aliases, regions, places, upstreams, builtAtMs }, untilMs };
}
