/**
 * The client's side of a request: the one second until the status, what follows it, and the word where the answer did
 * not end naturally.
 */
import type { AdmitVerdict, WordWhy } from "@sluice/protocol/account";
import { KEEP_ALIVE } from "@sluice/protocol/events";
import { FaultError, type Fault } from "../core/fault.ts";
import { logError } from "../core/log.ts";
import type { Place } from "../core/place.ts";
import type { Walked } from "../dispatch/walk.ts";
import { pass, wholeAnswer } from "../relay/answer.ts";
import { ofFailure } from "../routing/health.ts";
import type { Progress } from "../relay/progress.ts";
import { startDelivered } from "../relay/delivered.ts";
import { openOutlet, writeWhole, type Outlet } from "../relay/outlet.ts";
import { showLimits } from "../wire/limit-headers.ts";
import { faultEvent } from "../wire/openai-fault.ts";
import type { Answering } from "./attempt.ts";
import { firstLeg, nextLeg, type Leg } from "./leg.ts";
import type { Recalled } from "./recall.ts";
import type { Keeper } from "./remember.ts";
import { departure, finish, mark, markAttempt, tell, type Job, type Travel } from "./travel.ts";

/** From the arrival of the whole call to its status, at most. */
const STATUS_MS = 1_000;
/** What a client is told to wait after a stream that broke off. */
const RETRY_AFTER_MS = 1_000;

const INTERRUPTED: Fault = { kind: "overloaded", retryAfterMs: RETRY_AFTER_MS, interrupted: true };

const encoder = new TextEncoder();
const STREAM_SILENCE = encoder.encode(KEEP_ALIVE);
const JSON_SILENCE = encoder.encode(" ");

/** A walk under way: to the first content of some node, to a fault, or to the client's leaving. */
export type Going = Promise<Walked<Answering> | Recalled | "client_gone">;

export type Reply = Job & {
  readonly admitted: Extract<AdmitVerdict, { ok: true }>;
  readonly go: (leg: Leg) => Going;
  /** Keeps the whole answer for a call that repeats this one, where one can. */
  readonly keepReplay?: ((text: string) => void) | undefined;
  /** Watches the answer, where it may be cached. */
  readonly keep: Keeper | undefined;
};

/** The client's response: at the first content, with the true status of a failure, or after a second in any case. */
export async function respond(travel: Travel, reply: Reply): Promise<Response> {
  const leg = firstLeg(reply.admitted);
  const walking = reply.go(leg);
  const first = (await travel.pulse.within(walking, reply.arrivedAtMs + STATUS_MS)) ?? "late";
  mark(travel, "status");
  if (first === "client_gone") throw new FaultError({ kind: "client_gone" });
  if (first !== "late" && "recalled" in first) return respondRecalled(travel, reply, first);
  const headers = responseHeaders(travel, reply, first === "late" ? undefined : first.node);
  if (first !== "late" && !reply.call.stream) {
    const text = await settleWhole(travel, first, reply);
    if (text === undefined) throw new FaultError({ kind: "upstream_failed" });
    finish(travel);
    return new Response(text, { headers: Object.fromEntries(headers) });
  }
  const outlet = openOutlet();
  travel.pulse.feed(outlet, reply.call.stream ? STREAM_SILENCE : JSON_SILENCE, (why) => {
    travel.client.abort(why);
    // Frees whoever waits for this client to read.
    travel.ctx.waitUntil(outlet.cut());
  });
  const relaying = relay(travel, reply, outlet, { leg, walking });
  travel.ctx.waitUntil(relaying);
  return new Response(outlet.readable, { headers: Object.fromEntries(headers) });
}

/** A cached answer is whole, whichever way it is told. */
export function respondRecalled(
  travel: Travel,
  reply: Pick<Reply, "call" | "admitted" | "keepReplay">,
  { recalled, layer, ageS }: Recalled,
): Response {
  reply.keepReplay?.(recalled);
  const headers = responseHeaders(travel, reply, undefined);
  headers.set("x-sluice-cache", "hit");
  headers.set("x-sluice-cache-layer", layer);
  headers.set("age", String(ageS));
  travel.trace.ended = "recalled";
  travel.trace.cache = layer;
  finish(travel);
  return new Response(recalled, { headers: Object.fromEntries(headers) });
}

/** Everything after the status. Never rejects: it runs when nobody waits for it any more. */
async function relay(
  travel: Travel,
  reply: Reply,
  outlet: Outlet,
  { leg, walking }: { readonly leg: Leg; readonly walking: Going },
): Promise<void> {
  try {
    const walked = await walking;
    if (walked === "client_gone") travel.trace.ended = "client_gone";
    else if ("recalled" in walked) {
      travel.trace.ended = "recalled";
      travel.trace.cache = walked.layer;
      reply.keepReplay?.(walked.recalled);
      await hand(travel, outlet, walked.recalled);
    } else if (reply.call.stream) await relayStream(travel, reply, outlet, { leg, walked });
    else {
      const text = await settleWhole(travel, walked, reply);
      // The status has gone: a broken transfer is the only honest failure left.
      if (text === undefined) await outlet.cut();
      else await hand(travel, outlet, text);
    }
    // The answer is whole: nothing may be written behind it any more.
    travel.pulse.stop();
    await outlet.close();
  } catch (error) {
    const fault = lateFault(error);
    travel.trace.ended = fault.kind;
    if (fault.kind === "internal") logError("relay_failed", error, { id: travel.requestId });
    await fail(outlet, fault, reply.call.stream);
  }
  finish(travel);
}

/** Gives a client the whole text of an answer; that it left meanwhile is only noted: the answer itself was made. */
async function hand(travel: Travel, outlet: Outlet, text: string): Promise<void> {
  if (!(await writeWhole(outlet, encoder.encode(text)))) travel.trace.ended = "client_gone";
}

/** After the status there is one thing left to tell of nodes that failed: that the same call may succeed later. */
function lateFault(error: unknown): Fault {
  if (!(error instanceof FaultError)) return { kind: "internal" };
  const { fault } = error;
  const ranOut = fault.kind === "upstream_timeout" && fault.limit !== "total";
  const nodesFailed = fault.kind === "upstream_failed" || ranOut;
  return nodesFailed ? INTERRUPTED : fault;
}

/** Throws the fault of a stream that no node can continue, its word said. */
async function relayStream(
  travel: Travel,
  reply: Reply,
  outlet: Outlet,
  first: { readonly leg: Leg; readonly walked: Walked<Answering> },
): Promise<void> {
  const { heard } = travel.pulse;
  const delivered = startDelivered();
  const sent = (events: string): void => {
    delivered.add(events);
    reply.keep?.saw(events);
  };
  let { leg, walked } = first;
  for (;;) {
    const { node, ordinal, promptCeiling, extended } = walked;
    travel.served.push(node);
    const passed = await pass(walked.answer, outlet, {
      before: leg.seen,
      heard,
      sent,
      last: () => served(travel),
    });
    walked.answer.leave(passed.end === "natural" ? "answered" : "unblamed");
    if (passed.end === "natural") {
      travel.trace.ended = passed.progress.ended ?? "";
      if (leg === first.leg) reply.keep?.done(node, passed.progress);
      settle(travel, reply, walked, passed.progress);
      return;
    }
    // Frees the connection, and stops a node that is still at it.
    walked.answer.drop();
    const limit = walked.answer.overrun();
    const ended = passed.end === "node_failed" ? passed.progress.ended : undefined;
    const end = (why: WordWhy): Promise<unknown> => {
      travel.trace.ended = limit === undefined ? why : `${why}_${limit}`;
      const { seen = passed.progress, ...told } = walked.answer.told?.(passed.progress, false) ?? {};
      const saying = { ordinal, why, limit, ended, node, next: null, ...told };
      return tell(travel, reply.who.account, saying, seen);
    };
    // A fetch that breaks because we let go of it is the client's leaving, not the node's failing.
    const left = departure(travel) ?? (passed.end === "client_gone" ? "client_gone" : undefined);
    if (left !== undefined) {
      await end(left);
      return;
    }
    const why = limit === undefined ? (passed.end === "cut" ? "node_lost" : "node_failed") : "timeout";
    if (limit === "total") {
      await end(why);
      throw new FaultError({ kind: "upstream_timeout", limit });
    }
    markAttempt(travel, "over", limit === undefined ? (ended ?? why) : `${why}_${limit}`);
    travel.failed.set(node.id, leg.seen.to);
    walked.answer.leave(ofFailure({ limit, ended, refused: passed.progress.refused }));
    const following = nextLeg(
      leg,
      { ordinal, why, limit, ended, node, promptCeiling, extended },
      {
        seen: passed.progress,
        tokens: delivered.tokens(passed.progress.to),
        failed: travel.failed,
      },
    );
    if (following === undefined) {
      await end(why);
      throw new FaultError(INTERRUPTED);
    }
    const going = await reply.go(following).catch((error: unknown) => {
      // Nobody had room for the rest of it: to the client that is one thing with the loss of the node.
      throw error instanceof FaultError && error.fault.kind === "overloaded"
        ? new FaultError(INTERRUPTED)
        : error;
    });
    if (going === "client_gone" || "recalled" in going) {
      travel.trace.ended = "client_gone";
      return;
    }
    leg = following;
    walked = going;
  }
}

/** The word on an upstream's answer that ended by itself: no receipt will come. */
function settle(
  travel: Travel,
  reply: Reply,
  { answer, node, ordinal }: Walked<Answering>,
  progress: Progress,
): void {
  if (answer.told === undefined) return;
  const { seen, ...told } = answer.told(progress, true);
  const { ended } = progress;
  const saying = { ordinal, why: "answered", ended, node, next: null, ...told } as const;
  travel.ctx.waitUntil(tell(travel, reply.who.account, saying, seen));
}

/** The last comment of a stream: every node it came from, and where each stands. */
function served({ served }: Travel): string {
  return `: served by ${served.map(({ id, region }) => `${id}/${region}`).join(" ")}\n`;
}

/** The text of an answer that is not a stream, once it is whole; otherwise the word is said and there is none. */
async function settleWhole(
  travel: Travel,
  walked: Walked<Answering>,
  reply: Reply,
): Promise<string | undefined> {
  const { answer: answering, node, ordinal } = walked;
  const text = wholeAnswer(answering);
  const { ended } = answering.progress;
  answering.leave(text === undefined ? ofFailure({ ended }) : "answered");
  travel.trace.ended = answering.progress.ended ?? "node_lost";
  if (text !== undefined) {
    reply.keepReplay?.(text);
    reply.keep?.saw(text);
    reply.keep?.done(node, answering.progress);
    settle(travel, reply, walked, answering.progress);
    return text;
  }
  const { counted } = answering.told?.(answering.progress, false) ?? {};
  const saying = { ordinal, why: "node_failed", ended, node, next: null, counted } as const;
  await tell(travel, reply.who.account, saying, answering.progress);
  return undefined;
}

/** A stream gets a last event, never `[DONE]`; an answer that is not one breaks off. */
async function fail(outlet: Outlet, fault: Fault, stream: boolean): Promise<void> {
  if (!stream) return outlet.cut();
  await outlet.write(encoder.encode(faultEvent(fault))).catch(() => undefined);
  await outlet.close();
}

function responseHeaders(
  travel: Travel,
  reply: Pick<Reply, "call" | "admitted"> & Partial<Pick<Reply, "keep">>,
  node: Place | undefined,
): Map<string, string> {
  const headers = new Map([
    ["content-type", reply.call.stream ? "text/event-stream; charset=utf-8" : "application/json"],
    ["cache-control", "no-store"],
    ["x-request-id", travel.requestId],
  ]);
  if (node !== undefined) {
    headers.set("x-sluice-node", node.id);
    headers.set("x-sluice-region", node.region);
    if (reply.keep !== undefined) headers.set("x-sluice-cache", "miss");
  }
  showLimits(reply.admitted, headers);
  return headers;
}
