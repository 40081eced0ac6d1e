/**
 * A node's answer, from the first bytes to the last: read until content comes, then passed on batch by batch. Says how
 * far the answer came in whole events, which is exactly what the client was sent.
 */
import { workingAt } from "@sluice/protocol/events";
import { isNatural, type Ending } from "@sluice/protocol/receipt";
import { readBatches, type Batches } from "./batches.ts";
import type { Outlet } from "./outlet.ts";
import { advance, firstDataEvent, hasData, lastEvent, NO_PROGRESS, type Progress } from "./progress.ts";

/** An answer that has begun: its first events with data, not yet forwarded, and the rest to come. */
export type Begun = {
  readonly first: Uint8Array;
  readonly progress: Progress;
  readonly batches: Batches;
};

export type Beginning =
  | { readonly kind: "begun"; readonly begun: Begun }
  /** The node said it failed before it had any content. */
  | {
      readonly kind: "failed";
      readonly ended: Ending;
      /** Its engine is well and does not take what is asked. */
      readonly refused?: true | undefined;
      /** With `no_room`: when there may be some. */
      readonly retryAfterMs?: number | undefined;
    }
  /** The connection ended without a word. */
  | { readonly kind: "cut" };

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Reads comments until the first event with data. Rejects when the fetch behind `body` is aborted or breaks. */
export async function begin(
  body: ReadableStream<Uint8Array>,
  hooks: {
    /** `moved`: the answer has come further, told or not. */
    readonly heard: (moved?: boolean) => void;
    /** Undefined for an answer that is no stream. */
    readonly pulling: ((ends: Promise<unknown>) => void) | undefined;
  },
): Promise<Beginning> {
  const batches = readBatches(body, hooks);
  let progress = NO_PROGRESS;
  let madeTo = 0;
  for (let batch = await batches.next(); batch !== undefined; batch = await batches.next()) {
    const events = decoder.decode(batch);
    progress = advance(progress, events);
    const workedTo = Math.max(progress.to, workingAt(events) ?? 0);
    hooks.heard(workedTo > madeTo);
    madeTo = Math.max(madeTo, workedTo);
    if (hasData(events)) {
      // What the node said while it queued is for us: the client's answer begins with the first event that has data.
      const first = events.startsWith("data:") ? batch : encoder.encode(events.slice(firstDataEvent(events)));
      return { kind: "begun", begun: { first, progress, batches } };
    }
    const { ended, refused, retryAfterMs } = progress;
    if (ended !== undefined) return { kind: "failed", ended, refused, retryAfterMs };
  }
  return { kind: "cut" };
}

export type Passed = {
  /** What the client has been sent. */
  readonly progress: Progress;
  readonly end: "natural" | "node_failed" | "cut" | "client_gone";
};

export type Passing = {
  /** What earlier nodes of the same answer brought the client. */
  readonly before: Progress;
  /** `moved`: the answer has come further, told or not. */
  readonly heard: (moved?: boolean) => void;
  /** Whole events the client's side has taken. */
  readonly sent: (events: string) => void;
  /** A comment line for the last event of an answer that ended well. */
  readonly last: () => string;
};

/** Passes a stream on until it ends, somehow. Never rejects. */
export async function pass(begun: Begun, outlet: Outlet, passing: Passing): Promise<Passed> {
  let sent = passing.before;
  let madeTo = sent.to;
  let batch: Uint8Array | undefined = begun.first;
  while (batch !== undefined) {
    const events = decoder.decode(batch);
    const after: Progress = batch === begun.first ? begun.progress : advance(sent, events);
    const failed = after.ended !== undefined && !isNatural(after.ended);
    // The event that says how an attempt failed is for us: the client hears of it in its own dialect, or not at all.
    const forClient = failed ? events.slice(0, lastEvent(events)) : events;
    try {
      const ended = after.ended !== undefined && !failed;
      const text = ended ? withComment(events, passing.last()) : forClient;
      await outlet.write(failed || ended ? encoder.encode(text) : batch);
    } catch {
      return { progress: sent, end: "client_gone" };
    }
    // From here on the node is listened to again.
    const workedTo = after.to > sent.to ? after.to : (workingAt(events) ?? 0);
    passing.heard(workedTo > madeTo);
    madeTo = Math.max(madeTo, workedTo);
    passing.sent(forClient);
    sent = after;
    if (sent.ended !== undefined) return { progress: sent, end: failed ? "node_failed" : "natural" };
    try {
      batch = await begun.batches.next();
    } catch {
      batch = undefined;
    }
    passing.heard();
  }
  return { progress: sent, end: "cut" };
}

/** The same events with one more comment line, right before the last data of all: events may come in one piece. */
function withComment(events: string, comment: string): string {
  const at = events.lastIndexOf("\ndata:") + 1;
  return events.slice(0, at) + comment + events.slice(at);
}

/** The JSON text of a non-stream answer; undefined where the event is not one that ended naturally. */
export function wholeAnswer(begun: Begun): string | undefined {
  if (begun.progress.ended === undefined || !isNatural(begun.progress.ended)) return undefined;
  const events = decoder.decode(begun.first);
  const start = events.startsWith("data: ") ? 0 : events.indexOf("\ndata: ") + 1;
  const from = start + "data: ".length;
  const end = events.indexOf("\n", from);
  return end < 0 ? undefined : events.slice(from, end);
}
