/**
 * The load generator, a process of its own. Each lane asks again as soon as it was answered; what was begun is always
 * waited for, so that afterwards everything sent can be looked for in the books.
 *
 * A closed loop does not count how long requests would have waited that it did not send. That is why the paced scenes
 * also report how late each event came against its own schedule.
 */
import { setTimeout as delay } from "node:timers/promises";
import { answering, type LoadAsk, type LoadResult } from "../messages.ts";
import { spreadOf } from "../stats.ts";
import { Lane, requestBytes, type Timed } from "./lane.ts";

const FAILURES_MAX = 20;

async function load(ask: LoadAsk): Promise<LoadResult> {
  const bytes = requestBytes(ask);
  const timed: Timed[] = [];
  let sent = 0;
  let inWindow = 0;
  const failures: string[] = [];
  const startedAtMs = performance.now();
  const endAtMs = startedAtMs + ask.forMs;

  const run = async (index: number): Promise<void> => {
    if (ask.staggerMs > 0) await delay(index * ask.staggerMs);
    const lane = new Lane(ask, bytes);
    for (let i = 0; i < ask.eachMax && performance.now() < endAtMs; i++) {
      sent++;
      try {
        timed.push(await lane.once());
        if (performance.now() <= endAtMs) inWindow++;
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
        if (failures.length > FAILURES_MAX) break;
      }
    }
    lane.close();
  };
  await Promise.all(Array.from({ length: ask.lanes }, (_, index) => run(index)));

  const elapsedMs = performance.now() - startedAtMs;
  const whole = elapsedMs < ask.forMs;
  return {
    sent,
    failed: failures.length,
    firstFailure: failures[0] ?? null,
    perS: whole ? (timed.length * 1_000) / elapsedMs : (inWindow * 1_000) / ask.forMs,
    elapsedMs,
    events: timed.reduce((sum, { eventsAtMs }) => sum + eventsAtMs.length, 0),
    latencyMs: spreadOf(timed.map(({ latencyMs }) => latencyMs)),
    firstEventMs: spreadOf(timed.flatMap(({ eventsAtMs }) => eventsAtMs.slice(0, 1))),
    gapMs: spreadOf(timed.flatMap(({ eventsAtMs }) => gapsOf(eventsAtMs))),
    lateMs: spreadOf(timed.flatMap(({ eventsAtMs }) => latenessOf(eventsAtMs, ask.gapMs))),
    spanMs: spreadOf(timed.flatMap(({ eventsAtMs }) => (eventsAtMs.at(-1) ?? 0) - (eventsAtMs[0] ?? 0))),
  };
}

function gapsOf(atMs: readonly number[]): number[] {
  return atMs.slice(1).map((at, before) => at - (atMs[before] ?? at));
}

/** Against the schedule that the stream's first event began. */
function latenessOf(atMs: readonly number[], gapMs: number): number[] {
  const [first = 0] = atMs;
  return gapMs === 0 ? [] : atMs.map((at, index) => Math.max(0, at - first - index * gapMs));
}

answering(load);
