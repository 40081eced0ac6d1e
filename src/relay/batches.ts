/**
 * Reads a node's answer as batches of whole events: what one BYOB read brings, cut after the last whole event. A node
 * gathers its tokens, so a read is a write of the node's, and mostly that is all.
 *
 * Where chunks come faster than anyone reads a text (a burst that nobody gathered), waking JavaScript for each would cost
 * several times what the platform's own piping costs; then the platform reads ahead, and JavaScript wakes per batch:
 *
 *   [a, b] = body.tee();  b is piped natively into a stream of bounded length whose text nobody wants: it only pulls,
 *   so that a's side of the tee fills without us;  a is read by one BYOB read, which takes all that has piled up.
 *
 * The length bound gives backpressure back to answers that outgrow it: once it is reached the second branch fails,
 * quietly, and reading goes on at the reader's own pace. While the burst lasts a short rest between reads lets more pile
 * up. Streams at a model's own pace never come to that. Measured in bench/.
 */
import { concat } from "@sluice/protocol/bytes";
import { BEFORE_BYTES, wholeEventsLength } from "./progress.ts";

/** How far the platform may read ahead of us. */
const AHEAD_BYTES_MAX = 1024 * 1024;
/** A node's largest chunk, and what a read ahead of us may have piled up. */
const READ_BYTES = 16 * 1024;
const READ_AHEAD_BYTES = 64 * 1024;
/** One event is never larger: a non-stream answer is one event, a context's worth of text. */
const EVENT_BYTES_MAX = 32 * 1024 * 1024;
/**
 * A read that waited less than this is of a burst: 250 events a second and more. A whole millisecond would not do: with
 * many bursts at once a read of what is there already waits that long for the others' turns.
 */
const BURST_WAIT_MS = 4;
/** So many of those, less the slower ones among them, are a burst that nobody gathered: gathered it is a few slices. */
const BURST_READS = 6;
const REST_MS = 2;

class Overlong extends Error {
  override readonly name = "Overlong";
}

export type Batches = {
  /** The next whole events; undefined at the end, whatever comes after the last whole event being dropped. */
  next(): Promise<Uint8Array | undefined>;
  cancel(): Promise<void>;
};

/** Lets the platform read `body` ahead of the reader of what is returned. */
function pulledAhead(
  body: ReadableStream<Uint8Array>,
  pulling: (ends: Promise<unknown>) => void,
): ReadableStream<Uint8Array> {
  const [ours, ahead] = body.tee();
  const sink = new FixedLengthStream(AHEAD_BYTES_MAX);
  // Both ends fail when the answer is shorter or longer than the bound, which is the plan.
  const piped = ahead.pipeTo(sink.writable).catch(() => undefined);
  const drained = new Response(sink.readable).arrayBuffer().catch(() => undefined);
  pulling(Promise.all([piped, drained]));
  return ours;
}

/**
 * Owns `body` from here on. `pulling` is told of the promise that lives as long as the second branch; without it nothing
 * is read ahead: an answer that is one event has nothing to gather.
 */
export function readBatches(
  body: ReadableStream<Uint8Array>,
  hooks: {
    readonly pulling: ((ends: Promise<unknown>) => void) | undefined;
    /** Bytes have come, whether or not they end an event. */
    readonly heard: () => void;
  },
): Batches {
  const { pulling } = hooks;
  let reader = body.getReader({ mode: "byob" });
  let ahead = false;
  let quickReads = 0;
  /** The beginning of an event whose end has not come: in pieces, so that a long one is copied once. */
  let tail: Uint8Array[] = [];
  let tailLength = 0;
  let buffer = new ArrayBuffer(READ_BYTES);
  let waitedMs = Number.POSITIVE_INFINITY;

  /** True from the read on that makes it a burst. */
  function pullsAhead(): boolean {
    quickReads = Math.max(0, quickReads + (waitedMs < BURST_WAIT_MS ? 1 : -1));
    if (ahead || pulling === undefined || quickReads < BURST_READS) return ahead;
    reader.releaseLock();
    reader = pulledAhead(body, pulling).getReader({ mode: "byob" });
    buffer = new ArrayBuffer(READ_AHEAD_BYTES);
    return (ahead = true);
  }

  async function next(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (pullsAhead() && waitedMs < BURST_WAIT_MS) await scheduler.wait(REST_MS);
      const askedAtMs = Date.now();
      const { value, done } = await reader.read(new Uint8Array(buffer));
      waitedMs = Date.now() - askedAtMs;
      if (value === undefined || done) return undefined;
      hooks.heard();
      buffer = value.buffer;
      const whole = wholeEventsLength(value, endOf(tail));
      // Copies: the read buffer is used again by the next read.
      const rest = value.slice(whole);
      if (whole > 0) {
        const events = tailLength === 0 ? value.slice(0, whole) : concat(...tail, value.subarray(0, whole));
        tail = rest.length === 0 ? [] : [rest];
        tailLength = rest.length;
        return events;
      }
      tail.push(rest);
      tailLength += rest.length;
      if (tailLength > EVENT_BYTES_MAX) throw new Overlong("a node sent an event without end");
    }
  }

  return { next, cancel: () => reader.cancel().catch(() => undefined) };
}

/** The last bytes of what these pieces are together. */
function endOf(pieces: readonly Uint8Array[]): Uint8Array | undefined {
  const last = pieces.at(-1);
  if (last === undefined || last.length >= BEFORE_BYTES || pieces.length === 1) return last;
  // Each piece has a byte at least.
  return concat(...pieces.slice(-BEFORE_BYTES)).slice(-BEFORE_BYTES);
}
