/**
 * What becomes of an answer that was not there: it is watched while it goes to its client, and when it has ended well
 * it is kept, and handed to the identical requests that wait for it.
 *
 * Kept is only what one attempt told to its natural end, under the weights its name says, and what would have been the
 * same for anybody who asks this: an answer that was cut at a ceiling which only the balance set is its client's alone.
 */
import { saltId } from "@sluice/protocol/account";
import { notesOf } from "@sluice/protocol/events";
import { writeColo } from "../cache/far.ts";
import { Flights, type Lead } from "../cache/flights.ts";
import { answerMemory } from "../cache/memory.ts";
import type { AnswerName } from "../cache/name.ts";
import { ANSWER_BYTES_MAX, FOLLOW_MS_MAX, type CachePlan } from "../cache/policy.ts";
import { seal } from "../cache/seal.ts";
import { logError } from "../core/log.ts";
import { isUpstream, type Place } from "../core/place.ts";
import type { Progress } from "../relay/progress.ts";
import {
  countsOf,
  finishedFromStream,
  finishedFromWhole,
  type Counts,
  type Finished,
} from "../wire/openai-replay.ts";
import type { Leg } from "./leg.ts";
import {
  cancelHold,
  keyFor,
  planFor,
  printFor,
  type Admitted,
  type Named,
  type Recalled,
  type Search,
} from "./recall.ts";
import type { Job, Travel } from "./travel.ts";

/** Watches one answer on its way to the client. */
export type Keeper = {
  /** Whole events of a stream, or the text of an answer in one piece, as the client got them. */
  saw(text: string): void;
  /** It ended naturally, from one attempt, on this node. */
  done(node: Place, progress: Progress): void;
};

type Landed = { readonly finished: Finished; readonly counts: Counts };

/** This isolate's. */
const flights = new Flights<Landed>();

/** Events are longer than what they say; beyond this an answer is not watched any more. */
const WATCHED_CHARS_MAX = 4 * ANSWER_BYTES_MAX;

export type Remembering<Going> = {
  readonly keep: Keeper | undefined;
  readonly go: (leg: Leg) => Promise<Going | Recalled>;
};

/** The request's way to the nodes, past identical ones that are under way already. */
export async function remember<Going>(
  travel: Travel,
  searched: Search,
  { job, admitted }: { readonly job: Job; readonly admitted: Admitted },
  go: (leg: Leg) => Promise<Going>,
): Promise<Remembering<Going>> {
  const plan = planFor(searched, job, admitted);
  const named = plan.remember ? await searched.named.catch(() => undefined) : undefined;
  if (named === undefined) return { keep: undefined, go };
  const watched: Watched = { travel, job, admitted, plan, named, lead: undefined };
  const keep = watch(watched);
  if (!plan.recall || !job.call.deterministic) return { keep, go };
  return {
    keep,
    go: async (leg) => {
      // A stream that goes on elsewhere is led already.
      if (leg.after !== undefined) return go(leg);
      const joined = await flights.join(`${named.name.text} ${saltId(admitted.cacheSalt)}`, {
        waitMs: FOLLOW_MS_MAX,
        nowMs: Date.now,
        pause: (ms) => scheduler.wait(ms),
        gone: () => travel.client.signal.aborted,
      });
      if (joined.kind === "answer") {
        const { finished, counts } = joined.answer;
        travel.ctx.waitUntil(cancelHold(travel, job, counts));
        return { recalled: printFor(travel, job, finished), layer: "flight", ageS: 0 };
      }
      if (joined.kind === "lead") watched.lead = joined.lead;
      return go(leg);
    },
  };
}

type Watched = {
  readonly travel: Travel;
  readonly job: Job;
  readonly admitted: Admitted;
  readonly plan: CachePlan;
  readonly named: Named;
  lead: Lead<Landed> | undefined;
};

function watch(watched: Watched): Keeper {
  const { travel, job } = watched;
  let parts: string[] = [];
  let chars = 0;
  let ended = false;
  travel.atEnd.push(() => {
    if (!ended) watched.lead?.land({ kind: "failed" });
  });
  return {
    saw(text) {
      chars += text.length;
      if (chars > WATCHED_CHARS_MAX) parts = [];
      else parts.push(text);
    },
    done(node, progress) {
      ended = true;
      const text = chars > WATCHED_CHARS_MAX ? "" : parts.join("");
      parts = [];
      const keeping = keep(watched, node, progress, text).catch((error: unknown) => {
        logError("answer_not_kept", error, { id: travel.requestId });
        watched.lead?.land({ kind: "failed" });
      });
      travel.ctx.waitUntil(keeping);
    },
  };

  async function keep(of: Watched, node: Place, progress: Progress, text: string): Promise<void> {
    const landed = isForAnybody(of, node, progress) ? read(job, progress, text) : undefined;
    if (landed === undefined) {
      of.lead?.land({ kind: "not_for_others" });
      return;
    }
    await store(of, of.named.name, landed);
  }
}

function isForAnybody({ job, named }: Watched, node: Place, progress: Progress): boolean {
  // Whatever an upstream calls by the same name, nobody here has seen its weights.
  if (isUpstream(node)) return false;
  const served = node.models.find(({ id }) => id === job.wanted.model.id);
  if (served?.weights !== named.weights) return false;
  return progress.ended !== "length" || job.call.outputAsked !== null;
}

function read({ call }: Job, progress: Progress, text: string): Landed | undefined {
  const finished = call.stream ? readStream(progress, text) : finishedFromWhole(text);
  const counts = finished === undefined ? undefined : countsOf(finished);
  if (finished === undefined || counts === undefined) return undefined;
  // What the usage says and what was handed over are the same, or something is not as it should be.
  return counts.completionTokens === progress.to ? { finished, counts } : undefined;
}

function readStream(progress: Progress, events: string): Finished | undefined {
  const last = notesOf(events.slice(events.lastIndexOf("\n: sluice ") + 1)).at(-1);
  // A node that does not say how much was thinking: then it is known only where nothing was.
  const reasoningTokens = last?.reasoning ?? (events.includes('"reasoning_content"') ? undefined : 0);
  if (reasoningTokens === undefined) return undefined;
  const { prompt, cached, to } = progress;
  return finishedFromStream(events, {
    promptTokens: prompt,
    cachedTokens: cached,
    completionTokens: to,
    reasoningTokens,
  });
}

/** Memory first, then those who wait, then the data centre: whoever comes in between finds one of them. */
async function store(of: Watched, name: AnswerName, landed: Landed): Promise<void> {
  const { travel, job, admitted, plan } = of;
  const atMs = Date.now();
  const text = JSON.stringify(landed.finished);
  const key = await keyFor(travel.secrets, job.who.account, admitted.cacheSalt);
  const head = { atMs, expiresAtMs: atMs + plan.ttlS * 1_000, ...landed.counts };
  const sealed = await seal(key, name, { ...head, text }, crypto.getRandomValues(new Uint8Array(12)));
  const fits = sealed.bytes.length <= ANSWER_BYTES_MAX;
  if (fits) answerMemory.put(name, { sealed, inKv: false });
  of.lead?.land({ kind: "answer", answer: landed });
  // A pinned account's answer is kept in no layer of which nobody knows where it is.
  if (fits && admitted.regions === null) await writeColo(name, sealed, false);
}
