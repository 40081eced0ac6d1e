/**
 * Prices: the book of a model, and a new price now or at a time to come, with windows of the day that have rates of
 * their own. A price is never changed: what was sold under it stays sold under it.
 */
import { ulid } from "@sluice/protocol/ids";
import { PriceRow } from "@sluice/protocol/ticket";
import { z } from "zod";
import type { Env } from "../core/env.ts";
import { readBooks } from "../db/catalogue.ts";
import { priceName, pricesInForce, type TimedPrice } from "../db/price-in-force.ts";
import { firstOverlap, isZone, MINUTES_PER_DAY } from "../db/price-window.ts";
import { wrong } from "./complaint.ts";

/** A clock that runs a little behind ours still says "now". */
const CLOCK_SLACK_MS = 60_000;
const ULID_DICE_BYTES = 16;
const WINDOWS_MAX = 24;

/** "01:30" as minutes; "24:00" is the end of a day. */
const Clock = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, "is a time of day like 01:30")
  .transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)));

const PriceWindow = PriceRow.omit({ id: true })
  .extend({
    from: Clock,
    to: Clock,
    /** Weekdays it begins on; Monday is 1. Every day where not given. */
    days: z.array(z.int().min(1).max(7)).min(1).exactOptional(),
  })
  .strict();

/** Micro-dollars per million tokens: 270000 is $0.27. */
export const PriceInput = PriceRow.omit({ id: true })
  .extend({
    effectiveFromMs: z.int().min(0).exactOptional(),
    /** The IANA zone whose wall clock the windows go by, like "Asia/Shanghai". */
    zone: z.string().max(64).exactOptional(),
    windows: z.array(PriceWindow).max(WINDOWS_MAX).default([]),
  })
  .strict();
export type PriceInput = z.infer<typeof PriceInput>;

/** The rows to add to the book (`field`: what a complaint's field begins with); none where this very price is in force already, so that asking twice adds one. */
export async function newPrice(
  env: Env,
  model: string,
  { price: given, field }: { readonly price: PriceInput | undefined; readonly field: string },
  nowMs: number,
): Promise<readonly TimedPrice[]> {
  if (given === undefined) return [];
  const { effectiveFromMs = nowMs, zone, windows, ...rates } = given;
  if (effectiveFromMs < nowMs - CLOCK_SLACK_MS)
    throw wrong(`${field}effectiveFromMs`, "is in the past; what was sold then stays sold at its price");
  if (windows.length > 0 && (zone === undefined || !isZone(zone)))
    throw wrong(`${field}zone`, 'is needed with windows, as an IANA zone like "Asia/Shanghai"');
  const timed = windows.map(({ from, to, days, ...rates }, i) => {
    if (from === to || from === MINUTES_PER_DAY || to === 0)
      throw wrong(`${field}windows.${i}`, "begins and ends at the same time, or at no time of a day");
    const begins = days === undefined ? null : [...new Set(days)].toSorted((a, b) => a - b).join("");
    return { rates, window: { zone: zone ?? "", fromMinute: from, toMinute: to, days: begins } };
  });
  const overlap = firstOverlap(timed.map(({ window }) => window));
  if (overlap >= 0) throw wrong(`${field}windows.${overlap}`, "has a time in common with another window");
  const id = `price_${ulid(nowMs, crypto.getRandomValues(new Uint8Array(ULID_DICE_BYTES)))}`;
  const rows: TimedPrice[] = [
    { id, ...rates, effectiveFromMs, window: null },
    ...timed.map(({ rates, window }, i) => ({ id: `${id}.${i + 1}`, ...rates, effectiveFromMs, window })),
  ];
  const known = (await readBooks(env, nowMs)).models.find((one) => one.id === model)?.prices ?? [];
  const isSame = given.effectiveFromMs === undefined && said(rows) === said(pricesInForce(known, nowMs));
  return isSame ? [] : rows;
}

/** What a price says, whatever its id and its beginning. Nothing said of hits is free, as it is when it is said. */
function said(price: readonly TimedPrice[]): string {
  const rows = price.map((row) => [
    row.inputMicroUsdPerM,
    row.cachedMicroUsdPerM,
    row.outputMicroUsdPerM,
    row.hitInputMicroUsdPerM ?? 0,
    row.hitOutputMicroUsdPerM ?? 0,
    row.window?.zone ?? null,
    row.window?.fromMinute ?? null,
    row.window?.toMinute ?? null,
    row.window?.days ?? null,
  ]);
  return rows
    .map((row) => JSON.stringify(row))
    .toSorted()
    .join("\n");
}

/** Rows of the book as prices, in the order of their first rows. */
export function printPrices(rows: readonly TimedPrice[]) {
  const byName = Map.groupBy(rows, ({ id }) => priceName(id));
  return [...byName.values()].flatMap((price) => {
    const whole = price.find(({ window }) => !window);
    if (whole === undefined) return [];
    const windows = price.flatMap((row) =>
      row.window ? [{ ...ratesOf(row), ...printWindow(row.window) }] : [],
    );
    const zone = price.find(({ window }) => window)?.window?.zone ?? null;
    const { effectiveFromMs } = whole;
    const sorted = windows.toSorted((a, b) => (a.from < b.from ? -1 : 1));
    return [{ ...ratesOf(whole), effectiveFromMs, zone, windows: sorted }];
  });
}

function ratesOf(row: TimedPrice): PriceRow {
  const { id, inputMicroUsdPerM, cachedMicroUsdPerM, outputMicroUsdPerM } = row;
  const { hitInputMicroUsdPerM = 0, hitOutputMicroUsdPerM = 0 } = row;
  return {
    id,
    inputMicroUsdPerM,
    cachedMicroUsdPerM,
    outputMicroUsdPerM,
    hitInputMicroUsdPerM,
    hitOutputMicroUsdPerM,
  };
}

function printWindow(window: NonNullable<TimedPrice["window"]>) {
  const clock = (minute: number): string =>
    `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
  const days = window.days === null ? null : Array.from(window.days, Number);
  return { from: clock(window.fromMinute), to: clock(window.toMinute), days };
}
