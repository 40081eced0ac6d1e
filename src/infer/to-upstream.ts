/**
 * An attempt at an upstream: what is sent, and what is known of it that a node's receipt and beats would say. The hold is renewed
 * from here while the answer runs, and when it has ended its counts are ready for the word that settles it.
 */
import type { Counted } from "@sluice/protocol/account";
import { RENEW_INTERVAL_MS } from "@sluice/protocol/limits";
import { NEWEST } from "@sluice/protocol/version";
import { accountObject } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { costNanoUsd } from "../core/money.ts";
import { openUpstreamKey } from "../core/upstream-key.ts";
import type { Upstream, UpstreamModel } from "../core/upstream.ts";
import { raiseAlert } from "../db/alerts.ts";
import type { Made, Naming } from "../dispatch/walk.ts";
import { NO_PROGRESS, type Progress } from "../relay/progress.ts";
import { printAsk, type UpstreamAsk } from "../upstream/ask.ts";
import { callUpstream, type UpstreamAnswer } from "../upstream/call.ts";
import { Translator } from "../upstream/translate.ts";
import { answerIdOf } from "../wire/call.ts";
import type { Counts } from "../wire/openai-replay.ts";
import type { Job, Travel } from "./travel.ts";

export type UpstreamSpec = {
  readonly job: Job;
  readonly naming: Naming;
  readonly ask: UpstreamAsk;
  readonly served: UpstreamModel;
  readonly promptCeiling: number;
  readonly outputCeiling: number;
  /** Whose prefixes may be reused. */
  readonly tag: string;
};

/** What settles an attempt: the counts a word carries, and how sure they are. */
export type Told = { readonly seen: Progress; readonly reasoning: number; readonly counted: Counted };

export type AtUpstream = {
  readonly answer: UpstreamAnswer;
  /** Of an answer that ended by itself; and of one that came no further than its client has seen. */
  readonly told: (seen: Progress, whole: boolean) => Told;
  /** Of an answer that was not handed on; undefined where nothing was made. */
  readonly made: (clientLeft: boolean) => Made | undefined;
};

export async function toUpstream(
  travel: Travel,
  upstream: Upstream,
  spec: UpstreamSpec,
  signal: AbortSignal,
): Promise<AtUpstream> {
  const { job, ask, served, promptCeiling, outputCeiling, tag } = spec;
  const { call } = job;
  const face = {
    id: answerIdOf(call.dialect, travel.requestId),
    createdS: Math.floor(travel.enteredAtMs / 1_000),
    model: call.modelAs,
    includeUsage: call.includeUsage,
  };
  const isolated = served.tagField !== null;
  const bounds = { promptCeiling, outputCeiling, promptTokens: ask.promptTokens, isolated };
  const translator = new Translator(face, call.stream, bounds);
  const told = (seen: Progress, whole: boolean): Told => tellOf(translator, served, seen, whole);
  const made = (clientLeft: boolean): Made | undefined => {
    const { position } = translator;
    if (position === 0) return undefined;
    const { seen, reasoning, counted } = told({ ...NO_PROGRESS, to: position }, false);
    // Of a stream its client has what it was sent, and so far that is nothing.
    if (!clientLeft || call.stream) return { counted };
    return { counted, reasoning, seen: { seenTo: seen.to, prompt: seen.prompt, cached: seen.cached } };
  };
  const key =
    upstream.sealedKey === null ? null : await openUpstreamKey(travel.secrets, upstream, upstream.sealedKey);
  if (key === undefined) {
    complain(travel, upstream, "its key is sealed under a secret that is not in SLUICE_SECRETS");
    return { answer: { kind: "lost" }, told, made };
  }
  const stop = renewing(travel, spec, () => translator.position);
  const answer = await callUpstream(
    {
      request: travel.requestId,
      upstream: upstream.id,
      url: upstream.url,
      key: key ?? undefined,
      body: printAsk(ask, served, { promptCeiling, outputCeiling, tag }),
    },
    translator,
    signal,
  ).catch((error: unknown) => {
    stop();
    throw error;
  });
  // A limit that is used up is no news; a key that is not taken, or a model that is not there, is.
  if (answer.kind === "refused" && answer.blamed && answer.refusal.kind !== "queue_full")
    complain(travel, upstream, `it answers ${answer.status}`);
  if (answer.kind === "answering") travel.ctx.waitUntil(answer.ends.then(stop));
  else stop();
  return { answer, told, made };
}

function complain({ env, ctx }: Travel, { id }: Upstream, detail: string): void {
  ctx.waitUntil(raiseAlert(env, { kind: "upstream_unusable", subject: id, detail }, Date.now()));
}

function tellOf(translator: Translator, served: UpstreamModel, seen: Progress, whole: boolean): Told {
  const settled = translator.settled();
  const cost = (counts: Counts): number =>
    costNanoUsd({ id: served.as.slice(0, 64), ...ratesOf(served) }, counts);
  const { counts } = settled;
  if (!whole) {
    // The usage has not come, or counts more than the client was sent.
    const told = { ...counts, cachedTokens: 0, completionTokens: seen.to };
    return {
      seen: { ...seen, prompt: counts.promptTokens, cached: 0 },
      reasoning: Math.min(counts.reasoningTokens, seen.to),
      counted: { certainty: "estimated", costNanoUsd: cost(told) },
    };
  }
  return {
    seen: {
      ...seen,
      to: counts.completionTokens,
      prompt: counts.promptTokens,
      cached: counts.cachedTokens,
    },
    reasoning: counts.reasoningTokens,
    counted: { certainty: settled.certainty, costNanoUsd: cost(settled.raw) },
  };
}

function ratesOf({ inputMicroUsdPerM, cachedMicroUsdPerM, outputMicroUsdPerM }: UpstreamModel) {
  return { inputMicroUsdPerM, cachedMicroUsdPerM, outputMicroUsdPerM };
}

/** Says to the account's object that the attempt runs, as a node's beats would. */
function renewing(travel: Travel, { job, naming }: UpstreamSpec, position: () => number): () => void {
  const { ordinal, node } = naming;
  const renew = (): void => {
    const { account } = job.who;
    const attempt = { request: travel.requestId, ordinal, position: position() };
    const renewed = accountObject(travel.env, account)
      .settle({
        v: NEWEST,
        account,
        receipts: [],
        renew: [{ ...attempt, node: node.id, region: node.region }],
      })
      // The next one comes before the hold lapses.
      .catch((error: unknown) => logError("renewal_lost", error, { id: travel.requestId }));
    travel.ctx.waitUntil(renewed);
  };
  const timer = setInterval(renew, RENEW_INTERVAL_MS / 2);
  const stop = (): void => clearInterval(timer);
  travel.atEnd.push(stop);
  return stop;
}
