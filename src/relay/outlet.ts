/**
 * The client's side of an answer whose status has gone out: a body that is written to as whole events, or as blank
 * space and one JSON text. It owns the client's backpressure and notices a client that left at the next write, which
 * is the only way workerd tells; hence something is written in every second of silence.
 */

export type Outlet = {
  readonly readable: ReadableStream<Uint8Array>;
  /** Resolves when the client's side has taken the bytes; rejects when the client is gone. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends the body as complete. */
  close(): Promise<void>;
  /** Ends the body so that the client sees a broken transfer: never a 200 that looks whole and is not. */
  cut(): Promise<void>;
  /** When the last write ended, and since when one has been waiting (undefined: none is). */
  lastWriteAtMs(): number;
  waitingSinceMs(): number | undefined;
};

export function openOutlet(): Outlet {
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  // A rejected `closed` is told by the write that fails; unobserved it would be an unhandled rejection.
  writer.closed.catch(() => undefined);
  let lastWriteAtMs = Date.now();
  let waitingSinceMs: number | undefined;
  return {
    readable,
    async write(bytes) {
      waitingSinceMs ??= Date.now();
      await writer.write(bytes);
      lastWriteAtMs = Date.now();
      waitingSinceMs = undefined;
    },
    async close() {
      await writer.close().catch(() => undefined);
    },
    async cut() {
      await writer.abort(new Error("the answer could not be completed")).catch(() => undefined);
    },
    lastWriteAtMs: () => lastWriteAtMs,
    waitingSinceMs: () => waitingSinceMs,
  };
}

/** So much is given to a client at a time: whoever takes one such piece in 30 s is slow, but is not gone. */
const SLICE_BYTES = 16 * 1024;

/** Writes a long text so that its reader's progress shows. False where the reader left before its end. */
export async function writeWhole(outlet: Outlet, bytes: Uint8Array): Promise<boolean> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    try {
      await outlet.write(bytes.subarray(at, at + SLICE_BYTES));
    } catch {
      return false;
    }
  }
  return true;
}
