/** From what happened in a run to a row of figures. Pure. */
import type { Run, Told } from "./world.ts";

/** The objective: the first token within 2 s and a quarter of a millisecond for each prompt token... */
const TTFT_MS = 2_000;
const TTFT_MS_PER_TOKEN = 0.25;
/** ...and then a token every 150 ms on average. */
const TPOT_MS = 150;
/** Caches fill in the first part of a run; it is played and not counted. */
const WARM_UP_PART = 0.25;

export type Figures = {
  /** Of prompt tokens, the part that was cached. */
  readonly hit: number;
  readonly ttftP50Ms: number;
  readonly ttftP95Ms: number;
  readonly ttftP99Ms: number;
  /** Of all requests offered, those that met the objective. */
  readonly goodput: number;
  /** Of the nodes' busy time. */
  readonly maxOverMean: number;
};

export function figuresOf({ told, busyMs }: Run): Figures {
  const counted = told.slice(Math.floor(told.length * WARM_UP_PART));
  const ttfts = counted.map(ttftMs).toSorted((a, b) => a - b);
  let input = 0;
  let cached = 0;
  let good = 0;
  for (const one of counted) {
    input += one.request.input;
    cached += one.cachedTokens;
    if (isGood(one)) good++;
  }
  const mean = busyMs.reduce((sum, ms) => sum + ms, 0) / busyMs.length;
  return {
    hit: rounded(cached / Math.max(1, input), 3),
    ttftP50Ms: rounded(quantile(ttfts, 0.5), 0),
    ttftP95Ms: rounded(quantile(ttfts, 0.95), 0),
    ttftP99Ms: rounded(quantile(ttfts, 0.99), 0),
    goodput: rounded(good / Math.max(1, counted.length), 4),
    maxOverMean: rounded(Math.max(...busyMs) / mean, 2),
  };
}

/** What was never answered took for ever; for a table that is a day. */
const NEVER_MS = 86_400_000;

function ttftMs({ firstMs, request }: Told): number {
  return firstMs === undefined ? NEVER_MS : firstMs - request.atMs;
}

function isGood(told: Told): boolean {
  const { firstMs, endMs, request } = told;
  if (firstMs === undefined || endMs === undefined) return false;
  if (ttftMs(told) > TTFT_MS + TTFT_MS_PER_TOKEN * request.input) return false;
  return request.output < 2 || (endMs - firstMs) / (request.output - 1) <= TPOT_MS;
}

function quantile(ascending: readonly number[], part: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * part))] ?? 0;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
