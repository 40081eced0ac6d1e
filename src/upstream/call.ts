/**
 * One call to one upstream: sends it, and gives back its answer as a node's would be. The host comes from the admin's record
 * alone, redirects are not followed, no header of the client's goes along, and of an error nothing but its status is read: what
 * an upstream says of itself, or of us, is in no log and reaches no client.
 */
import type { Refusal } from "@sluice/protocol/refusal";
import { log } from "../core/log.ts";
import type { Translator } from "./translate.ts";

const RETRY_AFTER_DEFAULT_MS = 1_000;
const RETRY_AFTER_MAX_MS = 60_000;

export type UpstreamCall = {
  /** For the log. */
  readonly request: string;
  readonly upstream: string;
  readonly url: string;
  readonly key: string | undefined;
  readonly body: string;
};

export type UpstreamAnswer =
  | {
      readonly kind: "answering";
      readonly body: ReadableStream<Uint8Array>;
      /** Settles when the upstream is let go of. */
      readonly ends: Promise<void>;
    }
  /** It said no before it began. `blamed`: it would have said so to anybody. */
  | {
      readonly kind: "refused";
      readonly refusal: Refusal;
      readonly blamed: boolean;
      readonly status: number;
    }
  | { readonly kind: "lost" };

/** Rejects only with the signal's reason. */
export async function callUpstream(
  call: UpstreamCall,
  translator: Translator,
  signal: AbortSignal,
): Promise<UpstreamAnswer> {
  let response: Response;
  try {
    response = await fetch(`${call.url}/chat/completions`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        ...(call.key === undefined ? {} : { authorization: `Bearer ${call.key}` }),
      },
      body: call.body,
      redirect: "manual",
      signal,
    });
  } catch {
    signal.throwIfAborted();
    return { kind: "lost" };
  }
  const { status, body, headers } = response;
  const isEvents = headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (status === 200 && body !== null && isEvents) {
    const { readable, writable } = new IdentityTransformStream();
    return { kind: "answering", body: readable, ends: pump(body, translator, { writable, signal }) };
  }
  await body?.cancel().catch(() => undefined);
  log("upstream_refused", { id: call.request, upstream: call.upstream, status });
  const verdict = ofStatus(status, headers.get("retry-after"));
  return verdict === undefined ? { kind: "lost" } : { kind: "refused", ...verdict, status };
}

/** What an error status means; undefined where the upstream has failed. */
function ofStatus(
  status: number,
  retryAfter: string | null,
): { readonly refusal: Refusal; readonly blamed: boolean } | undefined {
  // Too much for the operator's account there: others are asked first for a while.
  if (status === 429)
    return { refusal: { kind: "queue_full", retryAfterMs: retryAfterMs(retryAfter) }, blamed: true };
  if (status < 400 || status >= 500) return undefined;
  // Whose mistake a call is that it cannot read, nobody can tell: the client's nodes may read it.
  const unreadable = status === 400 || status === 413 || status === 422;
  return { refusal: { kind: "bad_call" }, blamed: !unreadable };
}

/** A number of seconds; dates are not worth reading here. */
function retryAfterMs(header: string | null): number {
  const seconds = header !== null && /^\d{1,6}$/.test(header) ? Number(header) : undefined;
  return seconds === undefined ? RETRY_AFTER_DEFAULT_MS : Math.min(seconds * 1_000, RETRY_AFTER_MAX_MS);
}

const encoder = new TextEncoder();

/** At its reader's pace, until the answer's end, or until nobody wants it any more, though nobody reads. Never rejects. */
async function pump(
  body: ReadableStream<Uint8Array>,
  translator: Translator,
  { writable, signal }: { readonly writable: WritableStream<Uint8Array>; readonly signal: AbortSignal },
): Promise<void> {
  const reader = body.getReader();
  const writer = writable.getWriter();
  writer.closed.catch(() => undefined);
  signal.addEventListener("abort", () => void writer.abort(signal.reason).catch(() => undefined));
  try {
    while (!translator.over) {
      const { value, done } = await reader.read();
      const events = value === undefined ? translator.end() : translator.push(value);
      if (events !== "") await writer.write(encoder.encode(events));
      if (done) break;
    }
    // Not waited for: who has read the answer's end reads no further.
    writer.close().catch(() => undefined);
  } catch (error) {
    await writer.abort(error).catch(() => undefined);
  }
  await reader.cancel().catch(() => undefined);
}
