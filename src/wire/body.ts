/**
 * Reads a client's body, never keeping more of it than allowed. A length that is announced is believed only to refuse
 * early; what arrives is counted. A body that is refused is read to its end all the same, within reason, and dropped:
 * a client that is still sending when its connection closes sees a broken pipe and never the answer that says why.
 */
import { concat } from "@sluice/protocol/bytes";
import { FaultError } from "../core/fault.ts";

/** Refused bodies are read and dropped up to here; whoever sends more has to live with the broken pipe. */
const DISCARD_BYTES_MAX = 32 * 1024 * 1024;

/** Throws a FaultError `too_large`, having kept no more than one chunk over the limit. */
export async function readBody(request: Request | Response, bytesMax: number): Promise<Uint8Array> {
  const announced = announcedLength(request);
  if (announced !== undefined && announced > bytesMax) throw new FaultError({ kind: "too_large", bytesMax });
  if (request.body === null) return new Uint8Array();
  // The runtime enforces an announced length itself; then one native read is enough.
  if (announced !== undefined) return new Uint8Array(await request.arrayBuffer());
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body) {
    length += part.length;
    if (length > DISCARD_BYTES_MAX) break;
    if (length <= bytesMax) parts.push(part);
  }
  if (length > bytesMax) throw new FaultError({ kind: "too_large", bytesMax });
  return concat(...parts);
}

/** Reads what is left of a body nobody wanted. */
export async function discardBody(request: Request): Promise<void> {
  if (request.body === null || request.bodyUsed) return;
  if ((announcedLength(request) ?? 0) > DISCARD_BYTES_MAX) return;
  let length = 0;
  try {
    for await (const part of request.body) {
      length += part.length;
      if (length > DISCARD_BYTES_MAX) break;
    }
  } catch {
    // The client stopped sending: then it is not waiting for an answer either.
  }
}

export function announcedLength(request: Request | Response): number | undefined {
  const length = Number(request.headers.get("content-length") ?? "NaN");
  return Number.isFinite(length) ? length : undefined;
}
