/** Short answers over node's own response: whole, with their length, because the edge reads no other refusals. */
import type { ServerResponse } from "node:http";
import { retryAfterS, type Printed } from "./print/refusals.ts";

export function sendPrinted(response: ServerResponse, { status, body, retryAfterMs }: Printed): void {
  if (response.headersSent || response.destroyed) return;
  const retry = retryAfterMs === undefined ? {} : { "retry-after": retryAfterS(retryAfterMs) };
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": "no-store",
    // What is left of a body that was not read makes the connection useless.
    ...(response.req.complete ? {} : { connection: "close" }),
    ...retry,
  });
  response.end(body);
}
