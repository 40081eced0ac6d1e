/**
 * Sends the log of events to the queue, in order, in messages of consecutive events. The log is the memory, the queue
 * only a transport: what D1 has not confirmed in time is sent again, and the object deletes nothing before that.
 *
 * An event is printed once, when it is logged: a message is put together of these texts, and not printed again.
 *
 * A message may take long to leave, and meanwhile a turn can fail: what it logged was never so. Therefore the log is asked for
 * anew before each message (account-object.ts then has new books), and never kept over a wait.
 *
 * How far it has sent is in memory alone. A restart sends what is unconfirmed once more, which harms nobody and costs
 * less than a row per message.
 */
import { NEWEST } from "@sluice/protocol/version";
import type { Printed } from "./event-log.ts";
import type { Store } from "./store.ts";

const MESSAGE_EVENTS_MAX = 100;
/** A queue takes 128 KB; this leaves room for the envelope. With its receipt an event has about 2 KB. */
const MESSAGE_CHARS_MAX = 100_000;
/** One round sends at most this many messages; what is left goes with the next. */
const ROUND_MESSAGES_MAX = 20;

export type Log = { readonly account: string; readonly store: Store; readonly appliedSeq: number };

export class Outbox {
  readonly #queue: Queue<string>;
  #sentThrough = 0;
  /** How far D1 was when it last came further, and when that was (or when there was nothing to wait for). */
  #appliedSeq = 0;
  #progressAtMs = 0;

  constructor(queue: Queue<string>) {
    this.#queue = queue;
  }

  /** Whether so many events are there, the newest being `lastSeq`, that a message of them would be full. */
  isFull(lastSeq: number, appliedSeq: number): boolean {
    return lastSeq - Math.max(this.#sentThrough, appliedSeq) >= MESSAGE_EVENTS_MAX;
  }

  /**
   * Sends what is new, and all again once D1 has confirmed nothing for `resendMs`. True where a round was not enough. The log is
   * null where there is no account (any more).
   */
  async send(logNow: () => Log | null, nowMs: number, resendMs: number): Promise<boolean> {
    const appliedSeq = logNow()?.appliedSeq ?? 0;
    if (appliedSeq > this.#appliedSeq || this.#sentThrough <= appliedSeq) this.#progressAtMs = nowMs;
    this.#appliedSeq = appliedSeq;
    // Judged by D1's progress and not by the last sending: one lost message stops all that come after it.
    if (nowMs - this.#progressAtMs >= resendMs) {
      this.#sentThrough = appliedSeq;
      this.#progressAtMs = nowMs;
    }
    for (let round = 0; round < ROUND_MESSAGES_MAX; round++) {
      const log = logNow();
      if (log === null) return false;
      const from = Math.max(this.#sentThrough, log.appliedSeq);
      const unsent = log.store.log.printedAfter(from, MESSAGE_EVENTS_MAX);
      const events = fitting(unsent);
      const last = events.at(-1);
      if (last === undefined) return false;
      // Before the wait: another round must not send the same.
      this.#sentThrough = last.seq;
      try {
        await this.#queue.send(messageOf(log.account, events), { contentType: "text" });
      } catch (error) {
        this.#sentThrough = Math.min(this.#sentThrough, from);
        throw error;
      }
      // What came in while this one left has a timer of its own, and gathers until then: a queue slower than the load
      // would otherwise carry messages of one event each.
      const isFull = events.length < unsent.length || events.length === MESSAGE_EVENTS_MAX;
      if (!isFull) return false;
    }
    return true;
  }
}

/** An EventBatch as JSON. */
function messageOf(account: string, events: readonly Printed[]): string {
  return `{"v":${NEWEST},"account":${JSON.stringify(account)},"events":[${events.map(({ text }) => text).join(",")}]}`;
}

/** As many as one message carries, and one at least. */
function fitting(events: readonly Printed[]): readonly Printed[] {
  let chars = 0;
  const end = events.findIndex(({ text }, at) => (chars += text.length) > MESSAGE_CHARS_MAX && at > 0);
  return end < 0 ? events : events.slice(0, end);
}
