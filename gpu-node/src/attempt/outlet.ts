/**
 * The reader's side of an answer: writes to the socket one piece at a time, each only after the kernel took the one
 * before, so that "written" means written and not kept in a buffer of ours. Says at once when the reader has left, and
 * when it has taken nothing for too long; breaks silence with a comment so that the other side can tell us from the dead.
 */
import type { ServerResponse } from "node:http";
import { retryAfterS, type Printed } from "../print/refusals.ts";

const SLOW_MS = 30_000;
const SILENCE_MS = 1_000;
/** Small enough that a reader which takes anything at all is seen to take it. */
const SLICE_BYTES = 16 * 1024;

export type Gone = "client_gone" | "client_slow";

export type OutletTimes = { readonly slowMs: number; readonly silenceMs: number };

export const OUTLET_TIMES: OutletTimes = { slowMs: SLOW_MS, silenceMs: SILENCE_MS };

export class Outlet {
  readonly #response: ServerResponse;
  readonly #times: OutletTimes;
  #onGone: ((why: Gone) => void) | undefined;
  #gone: Gone | undefined;
  #ended = false;
  /** Writes the kernel has not taken whole. */
  #outstanding = 0;
  /** Written while the one before is on its way. */
  readonly #queue: Buffer[] = [];
  #waiting: (() => void)[] = [];
  #slowTimer: NodeJS.Timeout | undefined;
  #silenceTimer: NodeJS.Timeout | undefined;

  constructor(response: ServerResponse, times: OutletTimes) {
    this.#response = response;
    this.#times = times;
    response.on("close", () => this.#lose("client_gone"));
    // Without a listener a reset connection would be an uncaught error; `close` follows and says it all.
    response.on("error", () => undefined);
    if (response.destroyed || response.socket?.destroyed === true) this.#gone = "client_gone";
  }

  get open(): boolean {
    return this.#gone === undefined && !this.#ended;
  }

  /** Called once, at once where the reader has left already. */
  onGone(listener: (why: Gone) => void): void {
    this.#onGone = listener;
    if (this.#gone !== undefined) listener(this.#gone);
  }

  /** Status and headers; nothing can be refused after this. */
  begin(contentType: string, headers: Readonly<Record<string, string>> = {}): void {
    if (!this.open) return;
    this.#response.writeHead(200, { "content-type": contentType, "cache-control": "no-store", ...headers });
  }

  /** The status of an answer that failed before any of it was sent. */
  beginFailed({ status, retryAfterMs }: Pick<Printed, "status" | "retryAfterMs">): void {
    if (this.#response.headersSent) return;
    this.#response.statusCode = status;
    if (retryAfterMs !== undefined) this.#response.setHeader("retry-after", retryAfterS(retryAfterMs));
  }

  /** From now on `comment` is written in every second of silence. */
  breakSilence(comment: () => string): void {
    if (!this.open) return;
    this.#silenceTimer = setInterval(() => {
      if (this.#outstanding === 0) this.write(comment());
    }, this.#times.silenceMs);
  }

  /** The reader's side has taken all that was written. */
  get idle(): boolean {
    return this.#outstanding === 0;
  }

  /** Resolves when the reader's side has taken all that was written, or is gone. */
  taken(): Promise<void> {
    if (this.#outstanding === 0 || this.#gone !== undefined) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Best called when all before was taken: what is written stands in memory until then. */
  write(text: string): void {
    if (!this.open) return;
    this.#silenceTimer?.refresh();
    this.#outstanding += 1;
    this.#queue.push(Buffer.from(text));
    if (this.#outstanding === 1) this.#next();
  }

  /** Ends the answer, once the reader has taken what was written. */
  end(): void {
    if (!this.open) return;
    this.#ended = true;
    clearInterval(this.#silenceTimer);
    if (this.#outstanding === 0) this.#response.end();
  }

  /** Ends the connection so that nobody takes the answer for whole. */
  cut(): void {
    this.#lose("client_gone");
    this.#response.destroy();
  }

  #next(): void {
    const bytes = this.#queue.shift();
    if (bytes !== undefined) return this.#slice(bytes, 0);
    if (this.#ended) this.#response.end();
    this.#settle();
  }

  #slice(bytes: Buffer, at: number): void {
    clearTimeout(this.#slowTimer);
    if (at >= bytes.length) {
      this.#outstanding -= 1;
      return this.#next();
    }
    this.#slowTimer = setTimeout(() => this.#drop(), this.#times.slowMs);
    this.#response.write(bytes.subarray(at, at + SLICE_BYTES), (error) => {
      if (error === null || error === undefined) this.#slice(bytes, at + SLICE_BYTES);
      else this.#lose("client_gone");
    });
  }

  #drop(): void {
    this.#lose("client_slow");
    this.#response.destroy();
  }

  #lose(why: Gone): void {
    this.#stopTimers();
    if (this.#ended || this.#gone !== undefined) return;
    this.#gone = why;
    this.#settle();
    this.#onGone?.(why);
  }

  #settle(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #stopTimers(): void {
    clearTimeout(this.#slowTimer);
    clearInterval(this.#silenceTimer);
  }
}
