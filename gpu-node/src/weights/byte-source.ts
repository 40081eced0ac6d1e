/**
 * A little-endian reader over a file that cannot be led astray: every read is checked against the end,
 * and what it cannot read it reports as GgufProblem with a sentence for people. The file is read through a window, so
 * the header of a 400 GB file costs its own size, not the file's.
 */
import { readSync } from "node:fs";

const WINDOW_BYTES = 1 << 20;

/** What is wrong with a GGUF file, as a sentence. */
export class GgufProblem extends Error {
  override readonly name = "GgufProblem";
}

export type ByteSource = {
  readonly size: number;
  /** `length` bytes at `offset`; the caller never asks past `size`. */
  read(offset: number, length: number): Buffer;
};

export function fileSource(fd: number, size: number): ByteSource {
  return {
    size,
    read: (offset, length) => {
      const bytes = Buffer.allocUnsafe(length);
      let got = 0;
      while (got < length) {
        const n = readSync(fd, bytes, got, length - got, offset + got);
        if (n === 0) throw new GgufProblem("the file became shorter while it was being read");
        got += n;
      }
      return bytes;
    },
  };
}

export class Cursor {
  readonly #source: ByteSource;
  #at = 0;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#source.size - this.#at;
  }

  #take(length: number): Buffer {
    if (length > this.left) {
      throw new GgufProblem(
        `the file ends at byte ${this.#source.size}, in the middle of its header: it is truncated or damaged`,
      );
    }
    const from = this.#at - this.#windowStart;
    if (from < 0 || from + length > this.#window.length) {
      this.#window = this.#source.read(this.#at, Math.min(this.left, Math.max(length, WINDOW_BYTES)));
      this.#windowStart = this.#at;
    }
    const start = this.#at - this.#windowStart;
    this.#at += length;
    return this.#window.subarray(start, start + length);
  }

  skip(length: number): void {
    if (length > this.left) this.#take(length);
    this.#at += length;
  }

  bytes(length: number): Buffer {
    return this.#take(length);
  }
  u8(): number {
    return this.#take(1).readUInt8();
  }
  i8(): number {
    return this.#take(1).readInt8();
  }
  u16(): number {
    return this.#take(2).readUInt16LE();
  }
  i16(): number {
    return this.#take(2).readInt16LE();
  }
  u32(): number {
    return this.#take(4).readUInt32LE();
  }
  i32(): number {
    return this.#take(4).readInt32LE();
  }
  f32(): number {
    return this.#take(4).readFloatLE();
  }
  f64(): number {
    return this.#take(8).readDoubleLE();
  }
  i64(): number {
    return Number(this.#take(8).readBigInt64LE());
  }

  /** A count, size or offset: one beyond 2^53 can only be damage. */
  u64(what: string): number {
    const value = this.#take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new GgufProblem(`${what} is ${value}, which no file can hold: the header is damaged`);
    }
    return Number(value);
  }

  string(what: string, bytesMax: number): string {
    const length = this.u64(`the length of ${what}`);
    if (length > bytesMax || length > this.left) {
      throw new GgufProblem(`${what} claims ${length} bytes, more than there can be: the header is damaged`);
    }
    return this.#take(length).toString("utf8");
  }
}
