/** One cell on one target: load, CPU of the target, and, where the target keeps books, the wait until they are kept. */
import { cpuUs } from "./cpu.ts";
import { EVENTS_WHOLE, sceneOf, type Cell } from "./cells.ts";
import { Void } from "./books.ts";
import type { Helper, LoadAsk, LoadResult } from "./messages.ts";
import { JSON_TOKENS, requestBody, STREAM_EVENTS } from "./script.ts";
import type { Target } from "./targets/target.ts";

const PATH = "/v1/chat/completions";
/** Of a paced stream of 400 ms: a first event later than this was held back, whoever held it. */
const IN_TIME_FIRST_MS = 150;
/** From first event to last, of what the schedule says. */
const IN_TIME_SPAN_SHARE = 0.75;
const IN_TIME_GAP_P99_MS = 100;

/** What has been sent to a target, over all cells: its books must say the same. */
export type Tally = { sent: number; tokens: number };

export type Measured = LoadResult & {
  /** The target's CPU until all that belongs to these requests was done, per request. */
  readonly cpuUsPerRequest: number;
  /** Per event, where the scene is a stream. */
  readonly cpuUsPerEvent: number;
  /** Of the requests answered when the load ended, those D1 did not have yet, and how long it took then. */
  readonly unsettled: number;
  readonly settleMs: number;
};

export type Loader = Helper<LoadAsk, LoadResult>;
type Bookkeeper = Target & { readonly unsettled?: (sent: number) => number };

export async function measure(
  loader: Loader,
  target: Bookkeeper,
  cell: Cell,
  { tally, body, status = 200 }: { readonly tally: Tally; readonly body?: string; readonly status?: number },
): Promise<Measured> {
  const scene = sceneOf(cell);
  const pid = target.pid();
  const before = pid === undefined ? Number.NaN : cpuUs(pid);
  const result = await loader.ask({
    port: target.port,
    path: PATH,
    headers: target.headers,
    body: body ?? requestBody(scene),
    stream: scene.gapMs !== undefined,
    status,
    events: body === undefined ? EVENTS_WHOLE : null,
    gapMs: scene.gapMs ?? 0,
    lanes: cell.lanes,
    staggerMs: cell.staggerMs,
    forMs: cell.forMs,
    eachMax: cell.eachMax,
  });
  if (result.failed > 0)
    throw new Void(
      `${target.name}, ${cell.id}: ${result.failed} of ${result.sent} failed: ${result.firstFailure}`,
    );
  tally.sent += result.sent;
  tally.tokens += result.sent * (scene.gapMs === undefined ? JSON_TOKENS : STREAM_EVENTS);
  const unsettled = target.unsettled?.(tally.sent) ?? 0;
  const settleMs = (await target.settled?.(tally.sent, tally.tokens)) ?? 0;
  const spent = pid === undefined ? Number.NaN : cpuUs(pid) - before;
  return {
    ...result,
    unsettled,
    settleMs,
    cpuUsPerRequest: spent / result.sent,
    cpuUsPerEvent: spent / result.events,
  };
}

/** Throws Void where a paced stream does not come through as it was sent: such a relay's other numbers mean nothing. */
export function assertInTime(target: Target, measured: Measured, gapMs: number): void {
  const { firstEventMs, spanMs, gapMs: gaps } = measured;
  const scheduled = gapMs * (EVENTS_WHOLE - 1);
  const complaint =
    firstEventMs.p50 > IN_TIME_FIRST_MS
      ? `the first event came after ${firstEventMs.p50.toFixed(0)} ms`
      : spanMs.p50 < scheduled * IN_TIME_SPAN_SHARE
        ? `${scheduled} ms of events came within ${spanMs.p50.toFixed(0)} ms`
        : gaps.p99 > IN_TIME_GAP_P99_MS
          ? `1% of the gaps were longer than ${gaps.p99.toFixed(0)} ms instead of ${gapMs}`
          : undefined;
  if (complaint !== undefined) throw new Void(`${target.name} does not stream in time: ${complaint}`);
}
