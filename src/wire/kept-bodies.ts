/**
 * How many bytes of clients' bodies this isolate keeps. A body is kept until its request is over, because whoever fails
 * over sends it again; an isolate has 128 MB for everything. Beyond the bound a new call is refused before its body is
 * read: a running stream that could not go on would be worse. Module memory on purpose: it is the isolate's.
 */
import { FaultError } from "../core/fault.ts";
import { announcedLength, readBody } from "./body.ts";

export const KEPT_BODIES_BYTES_MAX = 48 * 1024 * 1024;
const RETRY_AFTER_MS = 1_000;

let keptBytes = 0;

export type KeptBody = {
  readonly body: Uint8Array;
  /** It is needed no more. Once, however often it is called. */
  readonly release: () => void;
};

/** Throws a FaultError `too_large`, or `overloaded` where the isolate keeps too much already. */
export async function keepBody(request: Request, bytesMax: number): Promise<KeptBody> {
  // A body that does not say how long it is may be as long as any.
  let held = Math.min(announcedLength(request) ?? bytesMax, bytesMax);
  if (keptBytes + held > KEPT_BODIES_BYTES_MAX)
    throw new FaultError({ kind: "overloaded", retryAfterMs: RETRY_AFTER_MS });
  keptBytes += held;
  const release = (): void => {
    keptBytes -= held;
    held = 0;
  };
  try {
    const body = await readBody(request, bytesMax);
    keptBytes += body.length - held;
    held = body.length;
    return { body, release };
  } catch (error) {
    release();
    throw error;
  }
}
