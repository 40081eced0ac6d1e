/**
 * Reads HTTP/1.1 messages off a socket, one after another, telling of each its head, the pieces of its body and its end.
 * Both ends of the bench use it: the scripted upstream for requests, the load generator for answers. It knows the two
 * framings that occur here (a length, and chunks) and believes the other side: this is a meter, not a server for
 * strangers. It copies nothing but what is cut in the middle, because on two cores the meter's own time is the target's.
 */
const HEAD_END = Buffer.from("\r\n\r\n");
/** A head or a chunk's size line that is longer than this is not from any program of this bench. */
const LINE_BYTES_MAX = 64 * 1024;
const LINE_FEED = 10;

export type MessageHandlers = {
  readonly onHead: (head: string) => void;
  readonly onBody: (part: Buffer) => void;
  readonly onEnd: () => void;
};

type State = "head" | "sized" | "chunk_size" | "chunk" | "chunk_end" | "trailer";

export class HttpReader {
  readonly #handlers: MessageHandlers;
  #state: State = "head";
  #left = 0;
  #kept: Buffer | undefined;

  constructor(handlers: MessageHandlers) {
    this.#handlers = handlers;
  }

  push(arrived: Buffer): void {
    let bytes = this.#kept === undefined ? arrived : Buffer.concat([this.#kept, arrived]);
    this.#kept = undefined;
    while (bytes.length > 0) {
      const taken = this.#step(bytes);
      if (taken === 0) {
        if (bytes.length > LINE_BYTES_MAX) throw new Error("a line without end");
        this.#kept = bytes;
        return;
      }
      bytes = bytes.subarray(taken);
    }
  }

  /** Takes one piece; 0 where it needs more bytes first. */
  #step(bytes: Buffer): number {
    switch (this.#state) {
      case "head":
        return this.#head(bytes);
      case "sized":
      case "chunk":
        return this.#body(bytes);
      case "chunk_size":
        return this.#chunkSize(bytes);
      case "chunk_end":
        if (bytes.length < 2) return 0;
        this.#state = "chunk_size";
        return 2;
      case "trailer": {
        // No program here sends trailers: an empty line ends the message.
        if (bytes.length < 2) return 0;
        this.#end();
        return 2;
      }
    }
  }

  #head(bytes: Buffer): number {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) return 0;
    const head = bytes.toString("latin1", 0, end);
    this.#handlers.onHead(head);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length !== undefined) {
      this.#left = Number(length);
      this.#state = "sized";
      if (this.#left === 0) this.#end();
    } else if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      this.#state = "chunk_size";
    } else {
      this.#end();
    }
    return end + HEAD_END.length;
  }

  #body(bytes: Buffer): number {
    const taken = Math.min(this.#left, bytes.length);
    this.#left -= taken;
    this.#handlers.onBody(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    if (this.#left === 0) {
      if (this.#state === "sized") this.#end();
      else this.#state = "chunk_end";
    }
    return taken;
  }

  #chunkSize(bytes: Buffer): number {
    const end = bytes.indexOf(LINE_FEED);
    if (end < 0) return 0;
    this.#left = Number.parseInt(bytes.toString("latin1", 0, end), 16);
    if (!Number.isInteger(this.#left)) throw new Error("a chunk without a size");
    this.#state = this.#left === 0 ? "trailer" : "chunk";
    return end + 1;
  }

  #end(): void {
    this.#state = "head";
    this.#handlers.onEnd();
  }
}
