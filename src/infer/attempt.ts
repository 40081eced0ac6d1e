/**
 * One try of a request on one node, from the sealed ticket to the node's first content; or at one upstream, whose answer is told as
 * a node's would be, so that what follows knows no difference.
 */
import type { Overrun } from "@sluice/protocol/account";
import type { Resume } from "@sluice/protocol/call";
import { NEWEST } from "@sluice/protocol/version";
import { assert } from "../core/assert.ts";
import { regionObject, type Env } from "../core/env.ts";
import type { LiveNode } from "../core/node.ts";
import { isUpstream } from "../core/place.ts";
import type { Upstream } from "../core/upstream.ts";
import { callNode, type NodeAnswer } from "../dispatch/node-call.ts";
import type { Naming, Tried } from "../dispatch/walk.ts";
import { begin, type Begun } from "../relay/answer.ts";
import { ofFailure, ofRefusal, type Outcome } from "../routing/health.ts";
import { isolate } from "../routing/isolate.ts";
import { answerIdOf } from "../wire/call.ts";
import type { Overflow } from "./overflow.ts";
import { toUpstream, type AtUpstream } from "./to-upstream.ts";
import { markAttempt, type Job, type Travel } from "./travel.ts";

/** An answer that has begun on some node, and how to let that node go. */
export type Answering = Begun & {
  /** The node is done with, as far as this isolate's load goes; what it is to be blamed for, once that is known. */
  readonly leave: (outcome: Outcome) => void;
  /** Breaks the connection: the answer is not wanted any more. */
  readonly drop: () => void;
  /** The limit that ended it, where one did. */
  readonly overrun: () => Overrun | undefined;
  /** Of an upstream's: what its word says. */
  readonly told?: AtUpstream["told"] | undefined;
};

export type AttemptSpec = {
  readonly job: Job;
  readonly names: { readonly tag: string; readonly lane: string };
  readonly naming: Naming;
  /** Prompt tokens the node is expected to evaluate. */
  uncachedTokens(node: LiveNode): number;
  readonly promptCeiling: number;
  readonly outputCeiling: number;
  /** What an earlier node delivered, where this one continues. */
  readonly resume: Resume | undefined;
  /** What upstreams are asked, where the request may go to any. */
  readonly overflow: Overflow | undefined;
};

/** One try at one place, until its first content. */
export async function attempt(travel: Travel, spec: AttemptSpec): Promise<Tried<Answering>> {
  const { client, pulse } = travel;
  const { call } = spec.job;
  const { node } = spec.naming;
  travel.trace.attempts.push({ node: node.id, ms: { called: Date.now() - travel.enteredAtMs } });
  const silent = new AbortController();
  // A client that leaves takes its attempt along. By hand: a signal made of two costs more than the listener.
  if (client.signal.aborted) silent.abort();
  else client.signal.addEventListener("abort", () => silent.abort(), { once: true });
  const quiet = isUpstream(node);
  // An upstream has room for so many calls, whatever their model.
  const asked = quiet
    ? { model: node.id, promptTokens: spec.promptCeiling }
    : { model: spec.job.wanted.model.id, promptTokens: spec.uncachedTokens(node) };
  const calling = isolate.call(node, asked, Date.now());
  const leave = (outcome: Outcome): void => {
    const nowMs = Date.now();
    const isBlamed = outcome === "failed" || outcome === "lost";
    const isNews = isBlamed && isolate.knowledge(nowMs).behindUntilMs(node.id, asked.model) === undefined;
    calling.ended(outcome, nowMs);
    if (isNews && !quiet) travel.ctx.waitUntil(suspect(travel.env, node, asked.model));
  };
  let limit: Overrun | undefined;
  pulse.watch({
    bodyBytes: call.body.length,
    promptTokens: spec.promptCeiling,
    quiet,
    lost: (which) => {
      limit = which;
      silent.abort();
    },
  });
  let tried: Exclude<Tried<Answering>, { kind: "content" }>;
  let blamed: boolean | undefined;
  let upstreams: AtUpstream | undefined;
  try {
    let answered: NodeAnswer | AtUpstream["answer"];
    if (quiet) {
      upstreams = await askUpstream(travel, spec, node, silent.signal);
      answered = upstreams.answer;
    } else answered = await askNode(travel, spec, node, silent.signal);
    pulse.taken();
    markAttempt(travel, "taken");
    // How long an upstream takes to answer says nothing of how far its region is.
    if (!quiet) calling.taken(Date.now());
    if (answered.kind === "refused") {
      tried = { kind: "refused", refusal: answered.refusal };
      if ("blamed" in answered) blamed = answered.blamed;
    } else if (answered.kind === "lost") tried = { kind: "failed", why: "node_lost" };
    else {
      const beginning = await begin(answered.body, {
        heard: pulse.heard,
        pulling: call.stream ? (ends) => travel.ctx.waitUntil(ends) : undefined,
      });
      if (beginning.kind === "begun") {
        calling.began(Date.now());
        markAttempt(travel, "content");
        const drop = (): void => {
          silent.abort();
          leave("unblamed");
        };
        return {
          kind: "content",
          answer: { ...beginning.begun, leave, drop, overrun: () => limit, told: upstreams?.told },
        };
      }
      tried =
        beginning.kind === "cut"
          ? { kind: "failed", why: "node_lost" }
          : { ...beginning, why: "node_failed" };
    }
  } catch {
    if (client.signal.aborted) tried = { kind: "client_gone" };
    else tried = { kind: "failed", why: limit === undefined ? "node_lost" : "timeout", limit };
  }
  if (tried.kind === "failed") travel.failed.set(node.id, spec.resume?.from ?? 0);
  if (tried.kind !== "refused") tried = { ...tried, made: upstreams?.made(tried.kind === "client_gone") };
  // An attempt that is over needs its connection no more, whatever the node still means to say on it.
  silent.abort();
  pulse.unwatch();
  markAttempt(travel, "over", tried.kind === "refused" ? tried.refusal.kind : reasonOf(tried));
  leave(blamed === undefined ? blame(tried) : blamed ? "failed" : "unblamed");
  return tried;
}

/** Its region finds out for everybody whether the node still makes tokens. Where it cannot be told, isolates find out. */
async function suspect(env: Env, { id, region }: LiveNode, model: string): Promise<void> {
  await regionObject(env, region)
    .suspect(id, model)
    .catch(() => undefined);
}

function askNode(
  travel: Travel,
  spec: AttemptSpec,
  node: LiveNode,
  signal: AbortSignal,
): Promise<NodeAnswer> {
  const { requestId } = travel;
  const { who, call, wanted } = spec.job;
  const { ordinal, issuedAtMs } = spec.naming;
  const bounds = { promptCeiling: spec.promptCeiling, outputCeiling: spec.outputCeiling };
  const named = { v: NEWEST, request: requestId, ordinal, node: node.id, issuedAtMs, ...bounds };
  const nonce = crypto.getRandomValues(new Uint8Array(12));
  return callNode(
    travel.secrets,
    {
      node,
      head: {
        ...named,
        dialect: call.dialect,
        stream: call.stream,
        responseId: answerIdOf(call.dialect, requestId),
        createdS: Math.floor(travel.enteredAtMs / 1_000),
        model: wanted.model.id,
        modelAs: call.modelAs,
        thinkingDefault: wanted.thinkingDefault,
        ...spec.names,
        ...(spec.resume === undefined ? {} : { resume: spec.resume }),
      },
      ticket: {
        ...named,
        account: who.account,
        key: who.keyId,
        region: node.region,
        model: wanted.model.id,
        from: spec.resume?.from ?? 0,
        prompt: spec.resume?.prompt ?? 0,
        cached: spec.resume?.cached ?? 0,
        price: wanted.model.price,
      },
      clientBody: call.body,
    },
    nonce,
    signal,
  );
}

function askUpstream(
  travel: Travel,
  spec: AttemptSpec,
  upstream: Upstream,
  signal: AbortSignal,
): Promise<AtUpstream> {
  const { job, naming, overflow, promptCeiling, outputCeiling, names } = spec;
  const offer = overflow?.offers.find((candidate) => candidate.upstream.id === upstream.id);
  assert(overflow !== undefined && offer !== undefined, "who is asked was offered");
  const { ask } = overflow;
  const bounds = { promptCeiling, outputCeiling };
  const asked = { job, naming, ask, served: offer.served, tag: names.tag, ...bounds };
  return toUpstream(travel, upstream, asked, signal);
}

function reasonOf(tried: Exclude<Tried<Answering>, { kind: "content" | "refused" }>): string {
  if (tried.kind === "client_gone") return tried.kind;
  return tried.limit === undefined ? (tried.ended ?? tried.why) : `${tried.why}_${tried.limit}`;
}

function blame(tried: Exclude<Tried<Answering>, { kind: "content" }>): Outcome {
  if (tried.kind === "refused") return ofRefusal(tried.refusal);
  return tried.kind === "failed" ? ofFailure(tried) : "unblamed";
}
