/**
 * What the notes in forwarded events say of an attempt, and where a run of bytes can be cut between events. Pure.
 * Only the newest note of a batch is read besides the very first ones: positions only rise, so it says it all.
 */
import { parseNote } from "@sluice/protocol/events";
import type { Ending } from "@sluice/protocol/receipt";

export type Progress = {
  /** Positions covered by the events forwarded so far. */
  readonly to: number;
  readonly prompt: number;
  readonly cached: number;
  readonly ended: Ending | undefined;
  /** The weights the answering node says it answers with. */
  readonly weights: string | undefined;
};

export const NO_PROGRESS: Progress = { to: 0, prompt: 0, cached: 0, ended: undefined, weights: undefined };

const LINE_FEED = 10;

/**
 * The length of the longest prefix that ends with a whole event (a blank line); 0 where there is none. `before` are the
 * bytes that came just before these: a blank line may lie across the two.
 */
export function wholeEventsLength(bytes: Uint8Array, before?: Uint8Array): number {
  for (let at = bytes.lastIndexOf(LINE_FEED); at > 0; at = bytes.lastIndexOf(LINE_FEED, at - 1)) {
    if (bytes[at - 1] === LINE_FEED) return at + 1;
  }
  return bytes[0] === LINE_FEED && before?.at(-1) === LINE_FEED ? 1 : 0;
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
