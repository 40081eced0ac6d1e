/**
 * When the log's events leave: by a timer after they are committed (pace.ts says how soon), and again by the alarm where D1
 * has not confirmed them. What was sent is known to outbox.ts.
 *
 * The surprising choice: a fresh event is sent by a timer, not by the alarm. Setting an alarm writes a row; the timer
 * writes none. Should the object die before it rings, the alarm that every admission stands under sends the event.
 */
import { logError } from "../core/log.ts";
import type { Books } from "./books.ts";
import type { Clocks } from "./clocks.ts";
import { Outbox, type Log } from "./outbox.ts";
import { FRESH, spent, waitMs } from "./pace.ts";

export class Sender {
  readonly #clocks: Clocks;
  readonly #outbox: Outbox;
  #pace = FRESH;
  #timer: number | null = null;
  #atMs = 0;

  constructor(queue: Queue<string>, clocks: Clocks) {
    this.#clocks = clocks;
    this.#outbox = new Outbox(queue);
  }

  /** Sends the events there are by then. `books` are asked when it is time: a failed turn replaces them. */
  soon(books: () => Books): void {
    const nowMs = Date.now();
    const { account, purse } = books();
    // A message that is full has nothing to wait for.
    const full = this.#outbox.isFull(account?.lastSeq ?? 0, purse.appliedSeq);
    const inMs = full ? this.#clocks.projectDelayMs : waitMs(this.#pace, nowMs, this.#clocks);
    if (this.#timer !== null) {
      if (this.#atMs <= nowMs + inMs) return;
      clearTimeout(this.#timer);
    }
    this.#atMs = nowMs + inMs;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // The alarm tries again.
      this.now(books).catch((error: unknown) => logError("projection_failed", error));
    }, inMs);
  }

  async now(books: () => Books): Promise<void> {
    if (books().account === undefined) return;
    this.#pace = spent(this.#pace, Date.now(), this.#clocks.gatherMs);
    const more = await this.#outbox.send(() => logOf(books()), Date.now(), this.#clocks.resendMs);
    if (more) this.soon(books);
  }
}

function logOf({ account, purse, store }: Books): Log | null {
  return account === undefined ? null : { account: account.account, store, appliedSeq: purse.appliedSeq };
}
