/**
 * What travels with one request through every step: its id, its clock, the client's signal, and what the log line will
 * say. The one thing that is filled in on the way is the trace; all else is made at the request's arrival.
 */
import type { WordWhy } from "@sluice/protocol/account";
import { ulid } from "@sluice/protocol/ids";
import { NEWEST } from "@sluice/protocol/version";
import type { Principal } from "../auth/authenticate.ts";
import type { Resolved } from "../core/catalogue.ts";
import type { Env } from "../core/env.ts";
import { log } from "../core/log.ts";
import { isUpstream, type Place } from "../core/place.ts";
import type { Secrets } from "../core/secrets.ts";
import type { Saying } from "../dispatch/walk.ts";
import { sendWord } from "../dispatch/words.ts";
import type { Progress } from "../relay/progress.ts";
import { startPulse, type Pulse } from "../relay/pulse.ts";
import { timeoutsOf } from "../core/timeouts.ts";
import type { Call } from "../wire/call.ts";
import type { RepeatKey } from "./repeat-key.ts";
import type { PromptTrail } from "./wish.ts";

/** One request on its way; made at its arrival, read by every step. */
export type Travel = {
  readonly env: Env;
  readonly ctx: ExecutionContext;
  readonly secrets: Secrets;
  readonly requestId: string;
  readonly enteredAtMs: number;
  readonly client: AbortController;
  readonly pulse: Pulse;
  readonly trace: Trace;
  /** Nodes that failed this request, and from which position each had been asked to make its answer. */
  readonly failed: Map<string, number>;
  /** Nodes whose events the client has been sent, in order. */
  readonly served: Place[];
  /** Run once, at the request's very end, however it came. */
  readonly atEnd: (() => void)[];
};

/** What the log line says; filled in as the request travels. */
export type Trace = {
  account?: string;
  model?: string;
  /** Every node that was asked, in order: the n-th is the n-th ordinal. */
  attempts: AttemptTrace[];
  ended: string;
  /** Where a cached answer came from. */
  cache?: string;
  ms: { [step: string]: number };
};

/** One attempt, in milliseconds since the call came in: when it was sent, taken, had content, and was over. */
export type AttemptTrace = {
  readonly node: string;
  why?: string;
  readonly ms: { called: number; taken?: number; content?: number; over?: number };
};

/** Who asks what of which model: known once the request is parsed. */
export type Job = {
  readonly who: Principal;
  readonly call: Call;
  readonly trail: PromptTrail;
  readonly wanted: Resolved;
  /** Where the client wants it to run, in order; null where it did not say. */
  readonly regions: readonly string[] | null;
  /** When the whole call was here: a slow upload is no delay of ours, and a status after it can still be true. */
  readonly arrivedAtMs: number;
  /** The client's `Idempotency-Key`, where it gave one. */
  readonly repeat: RepeatKey | undefined;
};

/** Begins a request's travel, and the timer that `finish` stops. */
export function depart(request: Request, env: Env, ctx: ExecutionContext, secrets: Secrets): Travel {
  const enteredAtMs = Date.now();
  const client = new AbortController();
  request.signal.addEventListener("abort", () => client.abort());
  return {
    env,
    ctx,
    secrets,
    requestId: `req_${ulid(enteredAtMs, crypto.getRandomValues(new Uint8Array(16)))}`,
    enteredAtMs,
    client,
    pulse: startPulse(timeoutsOf(env), enteredAtMs),
    failed: new Map(),
    served: [],
    trace: { attempts: [], ended: "", ms: {} },
    atEnd: [],
  };
}

/** How the client left, where it did. */
export function departure(travel: Travel): Extract<WordWhy, "client_gone" | "client_slow"> | undefined {
  if (!travel.client.signal.aborted) return undefined;
  return travel.client.signal.reason === "client_slow" ? "client_slow" : "client_gone";
}

const COUNTED_NOTHING = { certainty: "estimated", costNanoUsd: 0 } as const;

/** Sends the word that says how an attempt ended; resolves when it is known to have arrived, or is given up. */
export async function tell(
  travel: Travel,
  account: string,
  saying: Saying,
  seen: Progress,
): Promise<"open" | "closed" | "lost"> {
  const { node, reasoning } = saying;
  // Nobody else tells of an attempt at an upstream, also of one that came to nothing.
  const counted = saying.counted ?? (node !== null && isUpstream(node) ? COUNTED_NOTHING : undefined);
  const told = sendWord(travel.env, {
    v: NEWEST,
    account,
    request: travel.requestId,
    ordinal: saying.ordinal,
    why: saying.why,
    ...(saying.limit === undefined ? {} : { limit: saying.limit }),
    ...(saying.ended === undefined ? {} : { ended: saying.ended }),
    ...(saying.seen ?? { seenTo: seen.to, prompt: seen.prompt, cached: seen.cached }),
    ...(reasoning === undefined ? {} : { reasoning }),
    ...(counted === undefined ? {} : { counted }),
    node: node?.id ?? null,
    region: node?.region ?? null,
    next: saying.next,
  });
  travel.ctx.waitUntil(told);
  const state = await told;
  if (state === "lost") log("word_lost", { id: travel.requestId, ordinal: saying.ordinal, why: saying.why });
  return state;
}

export function mark(travel: Travel, step: string): void {
  travel.trace.ms[step] = Date.now() - travel.enteredAtMs;
}

/** Notes on the attempt that runs that something has come about. */
export function markAttempt(travel: Travel, step: "taken" | "content" | "over", why?: string): void {
  const attempt = travel.trace.attempts.at(-1);
  if (attempt === undefined) return;
  attempt.ms[step] = Date.now() - travel.enteredAtMs;
  if (why !== undefined) attempt.why = why;
}

/** Once per request, at its very end: stops the timer and writes the one line that says what happened. */
export function finish(travel: Travel): void {
  travel.pulse.stop();
  for (const end of travel.atEnd) end();
  mark(travel, "end");
  const { account, model, attempts, ended, cache, ms } = travel.trace;
  log("request", { id: travel.requestId, account, model, attempts, ended, cache, ms });
}
