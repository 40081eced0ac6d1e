/**
 * One try of a request on one node, from the sealed ticket to the node's first content.
 */
import type { Overrun } from "@sluice/protocol/account";
import type { Resume } from "@sluice/protocol/call";
import { NEWEST } from "@sluice/protocol/version";
import { regionObject, type Env } from "../core/env.ts";
import type { LiveNode } from "../core/node.ts";
import { callNode } from "../dispatch/node-call.ts";
import type { Naming, Tried } from "../dispatch/walk.ts";
import { begin, type Begun } from "../relay/answer.ts";
import { ofFailure, ofRefusal, type Outcome } from "../routing/health.ts";
import { isolate } from "../routing/isolate.ts";
import { ANSWER_PREFIX } from "../wire/call.ts";
import { markAttempt, type Job, type Travel } from "./travel.ts";

/** An answer that has begun on some node, and how to let that node go. */
export type Answering = Begun & {
  /** The node is done with, as far as this isolate's load goes; what it is to be blamed for, once that is known. */
  readonly leave: (outcome: Outcome) => void;
  /** Breaks the connection: the answer is not wanted any more. */
  readonly drop: () => void;
  /** The limit that ended it, where one did. */
  readonly overrun: () => Overrun | undefined;
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
};

/** One try on one node, until its first content. */
export async function attempt(travel: Travel, spec: AttemptSpec): Promise<Tried<Answering>> {
  const { requestId, client, pulse } = travel;
  const { who, call, wanted } = spec.job;
  const { node, ordinal, issuedAtMs } = spec.naming;
  travel.trace.attempts.push({ node: node.id, ms: { called: Date.now() - travel.enteredAtMs } });
  const silent = new AbortController();
  // A client that leaves takes its attempt along. By hand: a signal made of two costs more than the listener.
  if (client.signal.aborted) silent.abort();
  else client.signal.addEventListener("abort", () => silent.abort(), { once: true });
  const asked = { model: wanted.model.id, promptTokens: spec.uncachedTokens(node) };
  const calling = isolate.call(node, asked, Date.now());
  const leave = (outcome: Outcome): void => {
    const nowMs = Date.now();
    const isNews = outcome === "failed" && isolate.knowledge(nowMs).behindUntilMs(node.id) === undefined;
    calling.ended(outcome, nowMs);
    if (isNews) travel.ctx.waitUntil(suspect(travel.env, node));
  };
  let limit: Overrun | undefined;
  pulse.watch({
    bodyBytes: call.body.length,
    promptTokens: spec.promptCeiling,
    lost: (which) => {
      limit = which;
      silent.abort();
    },
  });
  const bounds = { promptCeiling: spec.promptCeiling, outputCeiling: spec.outputCeiling };
  const named = { v: NEWEST, request: requestId, ordinal, node: node.id, issuedAtMs, ...bounds };
  let tried: Exclude<Tried<Answering>, { kind: "content" }>;
  try {
    const answered = await callNode(
      travel.secrets,
      {
        node,
        head: {
          ...named,
          dialect: call.dialect,
          stream: call.stream,
          responseId: `${ANSWER_PREFIX[call.dialect]}${requestId.slice("req_".length)}`,
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
      crypto.getRandomValues(new Uint8Array(12)),
      silent.signal,
    );
    pulse.taken();
    markAttempt(travel, "taken");
    calling.taken(Date.now());
    if (answered.kind === "refused") tried = answered;
    else if (answered.kind === "lost") tried = { kind: "failed", why: "node_lost" };
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
        return { kind: "content", answer: { ...beginning.begun, leave, drop, overrun: () => limit } };
      }
      tried =
        beginning.kind === "cut"
          ? { kind: "failed", why: "node_lost" }
          : { kind: "failed", why: "node_failed", ended: beginning.ended };
    }
  } catch {
    if (client.signal.aborted) tried = { kind: "client_gone" };
    else tried = { kind: "failed", why: limit === undefined ? "node_lost" : "timeout", limit };
  }
  if (tried.kind === "failed") travel.failed.set(node.id, spec.resume?.from ?? 0);
  // An attempt that is over needs its connection no more, whatever the node still means to say on it.
  silent.abort();
  pulse.unwatch();
  markAttempt(travel, "over", tried.kind === "refused" ? tried.refusal.kind : reasonOf(tried));
  leave(blame(tried));
  return tried;
}

/** Its region finds out for everybody whether the node still makes tokens. Where it cannot be told, isolates find out. */
async function suspect(env: Env, { id, region }: LiveNode): Promise<void> {
  await regionObject(env, region)
    .suspect(id)
    .catch(() => undefined);
}

function reasonOf(tried: Exclude<Tried<Answering>, { kind: "content" | "refused" }>): string {
  if (tried.kind === "client_gone") return tried.kind;
  return tried.limit === undefined ? (tried.ended ?? tried.why) : `${tried.why}_${tried.limit}`;
}

function blame(tried: Exclude<Tried<Answering>, { kind: "content" }>): Outcome {
  if (tried.kind === "refused") return ofRefusal(tried.refusal);
  return tried.kind === "failed" ? ofFailure(tried) : "unblamed";
}
