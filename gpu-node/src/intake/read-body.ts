/**
 * Reads a request's body whole, up to a limit, straight from node's stream: the MAC is over these bytes, and a client
 * that leaves while it still sends must not leave a half-read promise behind.
 */
import type { IncomingMessage } from "node:http";

export type Body =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly why: "too_large" | "gone" };

export async function readBody(incoming: IncomingMessage, bytesMax: number): Promise<Body> {
  if (Number(incoming.headers["content-length"] ?? 0) > bytesMax) return { ok: false, why: "too_large" };
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > bytesMax) return { ok: false, why: "too_large" };
      chunks.push(chunk);
    }
  } catch {
    return { ok: false, why: "gone" };
  }
  return {
    ok: true,
    bytes: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks),
  };
}
