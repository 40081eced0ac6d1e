/**
 * The answer cache on a request's way: whether this answer is there already, in which layer, and what is told of it.
 *
 * Two moments. Before the admission the request gets its name, and the isolate's memory is looked into: what lies there
 * is admitted as a hit and holds nothing. Farther layers are asked beside the admission. After it the salt is there, and
 * what was found is opened; nothing is before, so a revoked key gets nothing out of here. A request that may not use
 * the cache passes through without an operation of any store.
 */
import type { AdmitVerdict, HitAsk } from "@sluice/protocol/account";
import { NEWEST } from "@sluice/protocol/version";
import { lookFar, writeColo, writeKv, type FarFound, type FarLayer } from "../cache/far.ts";
import { answerMemory } from "../cache/memory.ts";
import { nameAnswer, type AnswerName } from "../cache/name.ts";
import { CACHE_HEADER, planCache, readWish, type CachePlan, type CacheWish } from "../cache/policy.ts";
import { open, sealKey, type SealedAnswer, type SealKey } from "../cache/seal.ts";
import { assert } from "../core/assert.ts";
import type { Catalogue } from "../core/catalogue.ts";
import { FaultError, type Fault } from "../core/fault.ts";
import { hitCostNanoUsd } from "../core/money.ts";
import { answerNameKey, derive, isolationNames, type Secrets } from "../core/secrets.ts";
import { sendWord } from "../dispatch/words.ts";
import { liveNodes, rememberedNodes } from "../nodes/snapshot.ts";
import type { LiveNode } from "../core/node.ts";
import type { Call } from "../wire/call.ts";
import { canonicalChat } from "../wire/openai-canonical.ts";
import { Finished, printReplay, type Counts } from "../wire/openai-replay.ts";
import { log } from "../core/log.ts";
import type { Job, Travel } from "./travel.ts";

export type Admitted = Extract<AdmitVerdict, { ok: true }>;

export type HitLayer = "memory" | FarLayer | "flight";

/** A cached answer, printed for this request. */
export type Recalled = { readonly recalled: string; readonly layer: HitLayer; readonly ageS: number };

/** What is known of a request's answer before its admission. */
export type Search = {
  readonly wish: CacheWish;
  /** Undefined where it cannot have one: the nodes disagree about the weights, or none is known. */
  readonly named: Promise<Named | undefined>;
  /** Known, and not opened yet: in memory, or in a farther layer where no money is left for anything else. */
  atHand: SealedAnswer | undefined;
  readonly far: Promise<FarFound | undefined>;
};

export type Named = { readonly name: AnswerName; readonly weights: string };

/** Undefined where the cache has no part in this request. Throws where the client's header is a mistake. */
export async function search(
  travel: Travel,
  job: Job,
  catalogue: Catalogue,
  headers: Headers,
): Promise<Search | undefined> {
  const wish = readWish(headers.get(CACHE_HEADER));
  if (wish === undefined) throw new FaultError(WRONG_WISH);
  if (!isToldAgain(job.call)) return undefined;
  const plan = planCache(wish, job.call.deterministic);
  if (!plan.recall && !plan.remember) return undefined;
  const nowMs = Date.now();
  const nodes = rememberedNodes(catalogue.regions, nowMs);
  // An isolate that knows no node yet learns of them beside the admission; its memory has no answers either.
  const named =
    nodes.length > 0
      ? nameFor(travel.secrets, job, nodes)
      : liveNodes(travel.env, catalogue.regions, nowMs).then((fleet) =>
          nameFor(travel.secrets, job, fleet.nodes),
        );
  const known = nodes.length > 0 ? await named : undefined;
  const kept = known === undefined || !plan.recall ? undefined : answerMemory.get(known.name, nowMs);
  const far =
    kept !== undefined || !plan.recall
      ? Promise.resolve(undefined)
      : named.then((found) => (found === undefined ? undefined : lookFar(travel.env, found.name)));
  // Both may be given up, and then nobody hears how they end.
  named.catch(() => undefined);
  far.catch(() => undefined);
  return { wish, named, atHand: kept?.sealed, far };
}

/** Whether an answer to this is of a kind that is kept (cache/policy.ts). Of any other nothing is looked for, nor waited for. */
function isToldAgain({ dialect, choices, needs }: Call): boolean {
  return dialect === "openai.chat" && choices === 1 && needs.every(({ feature }) => feature !== "logprobs");
}

const WRONG_WISH: Fault = {
  kind: "invalid_request",
  param: CACHE_HEADER,
  message: `Invalid '${CACHE_HEADER}': off, read, write or refresh is expected, and ttl=<seconds> from a minute to 30 days.`,
};

async function nameFor(
  secrets: Secrets,
  { who, call, wanted, regions }: Job,
  nodes: readonly LiveNode[],
): Promise<Named | undefined> {
  const model = wanted.model.id;
  const near = nodes.filter((node) => regions === null || regions.includes(node.region));
  const weights = new Set(
    near.flatMap((node) => node.models.flatMap((served) => (served.id === model ? served.weights : []))),
  );
  const [only] = weights;
  if (only === undefined || weights.size > 1) return undefined;
  const canonical = canonicalChat(call.body, { model, thinkingDefault: wanted.thinkingDefault });
  if (canonical === undefined) return undefined;
  const [key, { tag }] = await Promise.all([
    answerNameKey(secrets),
    isolationNames(secrets, who.account, call.userId),
  ]);
  // An answer that was made somewhere else is not this request's, however equal the question.
  const pin = regions === null ? [] : [regions.join(",")];
  const name = await nameAnswer(key, who.account, tag, [call.dialect, only, canonical, ...pin]);
  return { name, weights: only };
}

/** What the admission is asked for where an answer lies in memory. */
export function hitAsk({ wish, atHand }: Search): HitAsk | undefined {
  if (atHand === undefined) return undefined;
  const { head } = atHand;
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = head;
  const asked = wish.mode === "read" || wish.mode === "write";
  return { saltId: head.salt, asked, promptTokens, cachedTokens, completionTokens, reasoningTokens };
}

/**
 * An answer in a farther layer that costs nothing: what is left to an account whose money is spent. It is opened before
 * it is asked for: a value that is broken must not be counted as a hit.
 */
export async function freeHitAsk(
  { secrets }: Travel,
  searched: Search,
  { who, wanted }: Job,
  { salt, pinned }: { readonly salt: string; readonly pinned: boolean },
): Promise<HitAsk | undefined> {
  const named = await searched.named.catch(() => undefined);
  const found = await searched.far.catch(() => undefined);
  if (named === undefined || found === undefined || pinned) return undefined;
  if (hitCostNanoUsd(wanted.model.price, found.sealed.head) > 0) return undefined;
  const finished = await opened(await keyFor(secrets, who.account, salt), named.name, found.sealed);
  if (finished === undefined) return undefined;
  searched.atHand = found.sealed;
  return hitAsk(searched);
}

/** The answer in a sealed value; undefined where it does not open, or is none. */
async function opened(key: SealKey, name: AnswerName, sealed: SealedAnswer): Promise<Finished | undefined> {
  const text = await open(key, name, sealed);
  return text === undefined ? undefined : Finished.safeParse(parsed(text)).data;
}

/** What the request, its key and its account want, now that all three have spoken. */
export function planFor({ wish }: Search, { call }: Job, admitted: Admitted): CachePlan {
  // An older object does not know the word that would cancel the hold.
  if (admitted.cache === undefined) return { recall: false, remember: false, ttlS: 0 };
  return planCache(wish, call.deterministic, admitted.cache);
}

export async function keyFor(secrets: Secrets, account: string, salt: string): Promise<SealKey> {
  const secret = async () => {
    const bytes = await derive(secrets, secrets.current, "answer-seal");
    if (bytes === undefined) throw new Error("the current secret is not there");
    return bytes;
  };
  return sealKey(secrets.current, secret, account, salt);
}

/** The answer out of some layer; undefined where there is none that opens. */
export async function recall(
  travel: Travel,
  searched: Search,
  job: Job,
  admitted: Admitted,
): Promise<Recalled | undefined> {
  const { secrets, ctx } = travel;
  if (admitted.hit === undefined && !planFor(searched, job, admitted).recall) return undefined;
  const named = await searched.named.catch(() => undefined);
  const atHand = searched.atHand;
  const far = atHand === undefined ? await searched.far.catch(() => undefined) : undefined;
  const sealed = atHand ?? far?.sealed;
  if (named === undefined || sealed === undefined) return undefined;
  const pinned = admitted.regions !== null;
  // Where the farther layers are nobody here can tell, so a pinned account's answers are in none (cache/far.ts).
  if (pinned && far !== undefined) return undefined;
  const { name } = named;
  const finished = await opened(await keyFor(secrets, job.who.account, admitted.cacheSalt), name, sealed);
  if (finished === undefined) {
    answerMemory.drop(name);
    // What was at hand was sealed or opened here, under the salt that the object has just confirmed.
    assert(admitted.hit !== true, "an answer that was admitted as a hit opens");
    return undefined;
  }
  if (far !== undefined) answerMemory.put(name, { sealed, inKv: far.inKv });
  if (admitted.hit === undefined) ctx.waitUntil(cancelHold(travel, job, sealed.head));
  ctx.waitUntil(spread(travel, name, far, pinned));
  const ageS = Math.max(0, Math.floor((travel.enteredAtMs - sealed.head.atMs) / 1_000));
  return { recalled: printFor(travel, job, finished), layer: far?.layer ?? "memory", ageS };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function printFor(travel: Travel, { call }: Job, finished: Finished): string {
  const face = {
    id: `chatcmpl-${travel.requestId.slice("req_".length)}`,
    createdS: Math.floor(travel.enteredAtMs / 1_000),
    model: call.modelAs,
    includeUsage: call.includeUsage,
  };
  return printReplay(finished, face, call.stream);
}

/** No node was asked: the hold goes, and the row says what the cached answer was. */
export async function cancelHold(travel: Travel, { who }: Job, counts: Counts): Promise<void> {
  const told = await sendWord(travel.env, {
    v: NEWEST,
    account: who.account,
    request: travel.requestId,
    ordinal: 0,
    why: "recalled",
    seenTo: counts.completionTokens,
    prompt: counts.promptTokens,
    cached: counts.cachedTokens,
    reasoning: counts.reasoningTokens,
    node: null,
    region: null,
    next: null,
  });
  // Then the hold lapses, and closes at nothing.
  if (told === "lost") log("word_lost", { id: travel.requestId, ordinal: 0, why: "recalled" });
}

/** An answer that was asked for a second time is worth having near everybody; a pinned account's stays where it is. */
async function spread(
  travel: Travel,
  name: AnswerName,
  far: FarFound | undefined,
  pinned: boolean,
): Promise<void> {
  const kept = answerMemory.get(name, Date.now());
  if (kept === undefined || pinned) return;
  if (!kept.inKv) {
    // Said before it is so: other requests of this isolate need not write it too.
    kept.inKv = true;
    kept.inKv = await writeKv(travel.env, name, kept.sealed);
    if (kept.inKv) await writeColo(name, kept.sealed, true);
  } else if (far?.layer === "kv") {
    await writeColo(name, kept.sealed, true);
  }
}
