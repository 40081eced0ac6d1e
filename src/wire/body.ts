/**
 * Reads a client's body, never more of it than allowed. A length that is announced is believed only to refuse early;
 * what arrives is counted.
 */
import { concat } from "@sluice/protocol/bytes";
import { FaultError } from "../core/fault.ts";

/** Throws a FaultError `too_large`, having read no more than one chunk over the limit. */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const announced = Number(request.headers.get("content-length") ?? "NaN");
  if (announced > bytesMax) throw new FaultError({ kind: "too_large", bytesMax });
  if (request.body === null) return new Uint8Array();
  // The runtime enforces an announced length itself; then one native read is enough.
  if (Number.isFinite(announced)) return new Uint8Array(await request.arrayBuffer());
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body) {
    length += part.length;
    if (length > bytesMax) throw new FaultError({ kind: "too_large", bytesMax });
    parts.push(part);
  }
  return concat(...parts);
}
