/**
 * What the notes in forwarded events say of an attempt, and where a run of bytes can be cut between events. Pure.
 * Only the newest note of a batch is read besides the very first ones: positions only rise, so it says it all.
 */
import { MORE, parseNote } from "@sluice/protocol/events";
import type { Ending } from "@sluice/protocol/receipt";

export type Progress = {
  /** Positions covered by the events forwarded so far. */
  readonly to: number;
  readonly prompt: number;
  readonly cached: number;
  readonly ended: Ending | undefined;
  /** With `ended`, what the node says of a failure beside it. */
  readonly refused?: true | undefined;
  readonly retryAfterMs?: number | undefined;
  /** The weights the answering node says it answers with. */
  readonly weights: string | undefined;
};

export const NO_PROGRESS: Progress = { to: 0, prompt: 0, cached: 0, ended: undefined, weights: undefined };

const LINE_FEED = 10;
const NOTHING = new Uint8Array();

/** What stands before the blank line behind which an answer is not cut. */
const TOGETHER = new TextEncoder().encode(`\n${MORE}`);
/** So many bytes before a piece are needed to know what a blank line at its beginning means. */
export const BEFORE_BYTES = TOGETHER.length;

/**
 * The length of the longest prefix that ends with a whole event (a blank line) which is not to come together with the
 * next; 0 where there is none. `before` are the bytes that came just before these, BEFORE_BYTES of them or all there are.
 */
export function wholeEventsLength(bytes: Uint8Array, before: Uint8Array = NOTHING): number {
  const byteAt = (at: number): number | undefined => (at < 0 ? before[before.length + at] : bytes[at]);
  for (
    let at = bytes.lastIndexOf(LINE_FEED);
    at >= 0;
    at = at === 0 ? -1 : bytes.lastIndexOf(LINE_FEED, at - 1)
  ) {
    if (
      byteAt(at - 1) === LINE_FEED &&
      !TOGETHER.every((byte, i) => byteAt(at - TOGETHER.length + i) === byte)
    )
      return at + 1;
  }
  return 0;
}

/** True where the events have data in them, and not comments alone. */
export function hasData(events: string): boolean {
  return events.startsWith("data:") || events.includes("\ndata:");
}

/** Where the first event that has data begins. */
export function firstDataEvent(events: string): number {
  const data = events.startsWith("data:") ? 0 : events.indexOf("\ndata:") + 1;
  const blank = events.lastIndexOf("\n\n", data);
  return blank < 0 ? 0 : blank + 2;
}

/** Where the last event begins. */
export function lastEvent(events: string): number {
  const blank = events.lastIndexOf("\n\n", events.length - 3);
  return blank < 0 ? 0 : blank + 2;
}

/** Progress after a batch of whole events. */
export function advance(before: Progress, events: string): Progress {
  const known = before.prompt > 0;
  const first = known ? undefined : noteAt(events, firstNote(events));
  const last = noteAt(events, events.lastIndexOf("\n: sluice ") + 1);
  return {
    to: Math.max(before.to, last?.to ?? 0, first?.to ?? 0),
    prompt: known ? before.prompt : (first?.prompt ?? 0),
    cached: known ? before.cached : (first?.cached ?? 0),
    ended: last?.ended ?? before.ended,
    ...(last?.refused === undefined ? {} : { refused: last.refused }),
    ...(last?.retryAfterMs === undefined ? {} : { retryAfterMs: last.retryAfterMs }),
    weights: before.weights ?? first?.weights,
  };
}

/** Where the first note stands that counts positions: `accepted` says nothing that will be billed. */
function firstNote(events: string): number {
  let at = events.startsWith(": sluice ") ? 0 : events.indexOf("\n: sluice ") + 1;
  while (events.startsWith(": sluice accepted", at)) {
    const next = events.indexOf("\n: sluice ", at);
    if (next < 0) return events.length;
    at = next + 1;
  }
  return at;
}

function noteAt(events: string, at: number): ReturnType<typeof parseNote> {
  const end = events.indexOf("\n", at);
  return parseNote(events.slice(at, end < 0 ? undefined : end));
}
