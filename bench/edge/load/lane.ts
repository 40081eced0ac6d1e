/**
 * One client: a connection kept alive, one request at a time, each answer checked and timed. The arrival of an event is
 * the moment its last byte was read from the socket.
 */
import { connect, type Socket } from "node:net";
import { HttpReader } from "../http-reader.ts";
import type { LoadAsk } from "../messages.ts";

const DATA = Buffer.from("data: ");
const DONE = Buffer.from("data: [DONE]\n");
const LINE_FEED = 10;
/** Longer than any scene; an answer that takes this long has failed. */
const ANSWER_MS = 20_000;

export type Timed = {
  readonly latencyMs: number;
  readonly eventsAtMs: readonly number[];
};

export function requestBytes({ port, path, headers, body }: LoadAsk): Buffer {
  const lines = Object.entries({
    host: `127.0.0.1:${port}`,
    "content-type": "application/json",
    ...headers,
    "content-length": String(Buffer.byteLength(body)),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
}

export class Lane {
  readonly #ask: LoadAsk;
  readonly #bytes: Buffer;
  #socket: Socket | undefined;
  #done: ((failure: string | null) => void) | undefined;
  #status = "";
  #bodyBytes = 0;
  #text = "";
  #eventsAtMs: number[] = [];
  /** The beginning of a line whose end has not come yet. */
  #cut = "";
  #ended = false;

  constructor(ask: LoadAsk, bytes: Buffer) {
    this.#ask = ask;
    this.#bytes = bytes;
  }

  /** Sends the request and resolves when the answer is whole. Rejects where it is not the answer that was expected. */
  async once(): Promise<Timed> {
    this.#socket ??= await this.#open();
    const socket = this.#socket;
    this.#status = "";
    this.#text = "";
    this.#bodyBytes = 0;
    this.#eventsAtMs = [];
    this.#cut = "";
    this.#ended = false;
    const startedAtMs = performance.now();
    const failure = await new Promise<string | null>((resolve) => {
      const timer = setTimeout(() => resolve("no whole answer in time"), ANSWER_MS);
      this.#done = (failure) => {
        clearTimeout(timer);
        this.#done = undefined;
        resolve(failure);
      };
      socket.write(this.#bytes);
    });
    const latencyMs = performance.now() - startedAtMs;
    const wrong = failure ?? this.#judge();
    if (wrong !== null) {
      this.close();
      throw new Error(wrong);
    }
    return { latencyMs, eventsAtMs: this.#eventsAtMs.map((atMs) => atMs - startedAtMs) };
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #judge(): string | null {
    if (this.#status !== String(this.#ask.status))
      return `status ${this.#status}: ${this.#text.slice(0, 200)}`;
    if (!this.#ask.stream) return this.#bodyBytes > 100 ? null : "an answer too short";
    const events = this.#eventsAtMs.length;
    if (!this.#ended) return `a stream of ${events} events without its end`;
    const { events: wanted } = this.#ask;
    return wanted === null || events === wanted ? null : `${events} events instead of ${wanted}`;
  }

  #open(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: this.#ask.port, noDelay: true });
      const reader = new HttpReader({
        onHead: (head) => (this.#status = head.slice(9, 12)),
        onBody: (part) => this.#body(part),
        onEnd: () => this.#done?.(null),
      });
      socket.once("connect", () => resolve(socket));
      socket.on("data", (bytes) => reader.push(bytes));
      socket.on("error", (error) => {
        reject(error);
        this.#done?.(error.message);
      });
      socket.on("close", () => {
        if (this.#socket === socket) this.#socket = undefined;
        this.#done?.("the connection closed before the answer was whole");
      });
    });
  }

  #body(part: Buffer): void {
    this.#bodyBytes += part.length;
    if (this.#status !== "200") this.#text += part.toString();
    if (this.#ask.stream) this.#countEvents(part);
  }

  /** Counts the lines that begin with `data: `. A line cut between two parts is finished with the next. */
  #countEvents(part: Buffer): void {
    const nowMs = performance.now();
    const bytes = this.#cut === "" ? part : Buffer.concat([Buffer.from(this.#cut, "latin1"), part]);
    const end = bytes.lastIndexOf(LINE_FEED) + 1;
    this.#cut = bytes.toString("latin1", end);
    this.#ended ||= bytes.indexOf(DONE) >= 0;
    for (let at = bytes.indexOf(DATA); at >= 0 && at < end; at = bytes.indexOf(DATA, at + DATA.length))
      if (at === 0 || bytes[at - 1] === LINE_FEED) this.#eventsAtMs.push(nowMs);
  }
}
