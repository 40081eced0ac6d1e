/**
 * The way of a request, top to bottom: key, parse, admit, recall, route, attempt, relay, and the word that settles what did not
 * end naturally. (Receipts settle the rest: they come by beat, see nodes/ and metering/.)
 *
 * Two promises shape this file and its folder. A status goes out with the first content, or one second after the call
 * came in, whichever is first: until then failures move on to another node or answer with their true status, after it
 * they are an error event, or, for an answer that is not a stream, a transfer that breaks off. And whatever happens
 * after the admission, the account's object hears how it ended.
 *
 * The key comes before the parsing, and so before the body is read: a stranger's four megabytes are not looked at.
 */
import type { AdmitAsk, AdmitVerdict, ExtendVerdict } from "@sluice/protocol/account";
import type { Dialect } from "@sluice/protocol/call";
import { CLIENT_BODY_BYTES_MAX, TOKENS_MAX } from "@sluice/protocol/limits";
import { NEWEST } from "@sluice/protocol/version";
import { admissionFault } from "./account/faults.ts";
import { authenticate, rememberRefusal } from "./auth/authenticate.ts";
import { resolveModel, type Catalogue } from "./core/catalogue.ts";
import { accountObject, type Env } from "./core/env.ts";
import { FaultError, type Fault } from "./core/fault.ts";
import { isUpstream } from "./core/place.ts";
import type { Secrets } from "./core/secrets.ts";
import { readCatalogue } from "./db/catalogue.ts";
import { inOrder } from "./dispatch/order.ts";
import { walk, type Naming, type Steps } from "./dispatch/walk.ts";
import { attempt } from "./infer/attempt.ts";
import { overflowing, withOverflow } from "./infer/overflow.ts";
import { firstLeg, type Leg } from "./infer/leg.ts";
import { freeHitAsk, hitAsk, recall, search, type Admitted, type Search } from "./infer/recall.ts";
import { rank, ROOM_WAIT_AMID_MS, ROOM_WAIT_MS } from "./infer/rank.ts";
import { remember } from "./infer/remember.ts";
import { readRepeatKey } from "./infer/repeat-key.ts";
import { replayed, replayKeeper } from "./infer/repeat.ts";
import { respond, respondRecalled, type Going } from "./infer/respond.ts";
import { depart, finish, mark, tell, type Job, type Travel } from "./infer/travel.ts";
import { readTrail } from "./infer/wish.ts";
import { sketchesPossible } from "./nodes/snapshot.ts";
import { NO_PROGRESS } from "./relay/progress.ts";
import { firstPromptCeiling, type Call, type ParsedCall } from "./wire/call.ts";
import { keepBody } from "./wire/kept-bodies.ts";
import type { Need } from "./wire/needs.ts";
import { parseOpenAiChat } from "./wire/openai-chat.ts";
import { parseOpenAiCompletion } from "./wire/openai-completion.ts";
import { parseOpenAiEmbedding } from "./wire/openai-embedding.ts";
import { narrowed, readRegions, REGIONS_HEADER } from "./wire/regions.ts";

export type Asked = {
  readonly request: Request;
  readonly dialect: Dialect;
  /** What is wanted of it: the answer, or how many tokens its prompt has. */
  readonly wanted: "answer" | "count";
};

/**
 * Answers one completion. Rejects with a FaultError where the status is still ours to choose; `requestId` is the
 * id to print with it.
 */
export function infer(
  asked: Asked,
  env: Env,
  ctx: ExecutionContext,
  secrets: Secrets,
): { readonly requestId: string; readonly response: Promise<Response> } {
  const travel = depart(asked.request, env, ctx, secrets);
  const response = answer(travel, asked).catch((error: unknown) => {
    travel.trace.ended = error instanceof FaultError ? error.fault.kind : "internal";
    finish(travel);
    throw error;
  });
  return { requestId: travel.requestId, response };
}

const PARSERS: { readonly [D in Dialect]: (body: Uint8Array) => ParsedCall } = {
  "openai.chat": parseOpenAiChat,
  "openai.completion": parseOpenAiCompletion,
  "openai.embedding": parseOpenAiEmbedding,
};

async function answer(travel: Travel, asked: Asked): Promise<Response> {
  const { request, dialect } = asked;
  const { env, secrets, trace } = travel;

  // Key. Garbage ends here, before a byte of the body is read.
  const who = await authenticate(secrets, request.headers, travel.enteredAtMs);
  trace.account = who.account;

  // Parse.
  const { body, release } = await keepBody(request, CLIENT_BODY_BYTES_MAX, who);
  travel.atEnd.push(release);
  const arrivedAtMs = Date.now();
  const counting = asked.wanted === "count";
  const { prompt, ...parsed } = PARSERS[dialect](body);
  const call: Call = counting ? { ...parsed, stream: false, outputAsked: 1, choices: 1 } : parsed;
  const catalogue = await readCatalogue(env, travel.enteredAtMs);
  const wanted = resolveModel(catalogue, call.modelAs);
  if (wanted === undefined) throw new FaultError({ kind: "model_not_found", model: call.modelAs });
  trace.model = wanted.model.id;
  const regions = readRegions(request.headers.get(REGIONS_HEADER), catalogue.places);
  const trail = readTrail(prompt, wanted, sketchesPossible(catalogue.regions));
  mark(travel, "parse");

  // Admit: a committed hold, or a refusal. Where the answer may be cached, it is looked for beside that.
  const repeat = counting ? undefined : await readRepeatKey(request.headers, body);
  const job: Job = { who, call, trail, wanted, regions, arrivedAtMs, repeat };
  const searched = counting ? undefined : await search(travel, job, catalogue, request.headers);
  const admitted = await admit(travel, job, searched);
  if (admitted instanceof Response) return admitted;
  mark(travel, "admit");
  if (counting) return count(travel, { ...job, admitted, catalogue });
  const keepReplay = replayKeeper(travel, job, admitted);

  // Recall: opened only with what the admission brought.
  const recalled = searched && (await recall(travel, searched, job, admitted));
  if (recalled !== undefined) return respondRecalled(travel, { call, admitted, keepReplay }, recalled);

  // Route, attempt, relay; and again, from where it broke off, when a node dies under a stream.
  const go = (leg: Leg): Going => route(travel, { ...job, admitted, catalogue }, leg);
  const way = searched === undefined ? { go } : await remember(travel, searched, { job, admitted }, go);
  return respond(travel, { ...job, admitted, keepReplay, keep: undefined, ...way });
}

/** The verdict; or the answer that this very call got before. */
async function admit(travel: Travel, job: Job, searched: Search | undefined): Promise<Admitted | Response> {
  const { who, call, wanted } = job;
  const ask: AdmitAsk = {
    v: NEWEST,
    account: who.account,
    key: { id: who.keyId, secretSha256: who.secretSha256 },
    request: travel.requestId,
    model: wanted.model.id,
    stream: call.stream,
    promptCeiling: Math.min(firstPromptCeiling(call), (call.prompts ?? 1) * wanted.model.contextTokens),
    // Of all answers together: they are one attempt, and one bill.
    outputAsked:
      call.outputAsked === null
        ? null
        : Math.min(call.choices * Math.min(call.outputAsked, wanted.model.contextTokens), TOKENS_MAX),
    outputDefault: call.choices * wanted.model.outputTokensDefault,
    price: wanted.model.price,
    ...(job.repeat === undefined ? {} : { idempotency: job.repeat.ask }),
  };
  const atHand = searched && hitAsk(searched);
  let verdict = await askAdmission(travel.env, atHand === undefined ? ask : { ...ask, hit: atHand });
  if (!verdict.ok && "cached" in verdict.refusal && verdict.refusal.cached !== undefined) {
    // What costs nothing is there on an empty balance, or budget, too.
    const free = searched && (await freeHitAsk(travel, searched, job, verdict.refusal.cached));
    if (free !== undefined) verdict = await askAdmission(travel.env, { ...ask, hit: free });
  }
  if (verdict.ok) return pin(travel, job, verdict);
  const before =
    verdict.refusal.kind === "idempotency_conflict"
      ? await replayed(travel, job, verdict.refusal)
      : undefined;
  if (before !== undefined) return before;
  const fault = admissionFault(verdict.refusal, call.modelAs);
  if (fault.kind === "unauthenticated") rememberRefusal(who, fault, travel.enteredAtMs);
  throw new FaultError(fault);
}

/** The regions that are left of the account's, the key's and the request's own; fails where there are none. */
function pin(travel: Travel, { who, regions: asked }: Job, admitted: Admitted): Admitted {
  const regions = narrowed(admitted.regions, asked);
  if (regions === null || regions.length > 0)
    return { ...admitted, regions: regions === null ? null : [...regions] };
  if (admitted.hit === undefined) {
    const saying = { ordinal: 0, why: "no_node", node: null, next: null } as const;
    travel.ctx.waitUntil(tell(travel, who.account, saying, NO_PROGRESS));
  }
  throw new FaultError({ kind: "data_residency_mismatch", regions: admitted.regions ?? [], never: true });
}

function askAdmission(env: Env, ask: AdmitAsk): Promise<AdmitVerdict> {
  return accountObject(env, ask.account)
    .admit(ask)
    .catch((cause: unknown) => {
      // Whether the hold was committed is not known: it lapses by itself where it was.
      throw new FaultError({ kind: "storage_unavailable" }, { cause });
    });
}

/** Where no node is there to be asked: one may be back with the next beats. */
const RETRY_AFTER_NO_NODE_MS = 2_000;

function nobodyIn(regions: readonly string[] | null): Fault {
  return regions === null
    ? { kind: "overloaded", retryAfterMs: RETRY_AFTER_NO_NODE_MS }
    : { kind: "data_residency_mismatch", regions, never: false };
}

function unsupportedBy({ param }: Need, model: string): Fault {
  const message = `'${param}': the engines that serve '${model}' cannot do this.`;
  return { kind: "unsupported_parameter", param, message };
}

type AdmittedJob = Job & { readonly admitted: Admitted; readonly catalogue: Catalogue };

/**
 * How many tokens a chat's prompt has, by a node's own count: a call that pays for one prompt token is refused before any work, with
 * the count. The request is admitted like any other, and ends as a refused one: it counts against limits and costs nothing.
 */
async function count(travel: Travel, job: AdmittedJob): Promise<Response> {
  let tokens: number | undefined;
  const take: Extend = (_, promptTokens) => {
    tokens = promptTokens;
    // One node's count is enough: a refusal that ends the walk.
    return Promise.resolve({ ok: false, refusal: { kind: "storage_unavailable" } });
  };
  const leg = { ...firstLeg(job.admitted), promptCeiling: 1 };
  await route(travel, job, leg, take).catch((error: unknown) => {
    if (tokens === undefined) throw error;
  });
  travel.trace.ended = "counted";
  finish(travel);
  const max = job.wanted.model.contextTokens;
  return Response.json({
    object: "token_count",
    model: job.call.modelAs,
    count: tokens ?? 1,
    max_model_len: max,
  });
}

function extendHold(
  { env, requestId }: Travel,
  account: string,
  { ordinal, node, issuedAtMs }: Naming,
  promptCeiling: number,
): Promise<ExtendVerdict> {
  const ask = {
    v: NEWEST,
    account,
    request: requestId,
    ordinal,
    node: node.id,
    region: node.region,
    issuedAtMs,
    promptCeiling,
  };
  return accountObject(env, account)
    .extend(ask)
    .catch(() => ({ ok: false, refusal: { kind: "storage_unavailable" } }) as const);
}

type Extend = Steps<unknown>["extend"];

/** Ranks the nodes, and upstreams behind those that are well; and walks the ranking until one has content. */
async function route(travel: Travel, job: AdmittedJob, leg: Leg, extend?: Extend): Going {
  const { who, admitted, catalogue } = job;
  const { promptCeiling, extended, issueByMs, after, resume } = leg;
  // How many tokens a prompt has, only nodes can say.
  const offered = extend === undefined ? catalogue.upstreams : [];
  const overflow = overflowing(travel, job, { admitted, leg, upstreams: offered });
  const where = {
    regions: admitted.regions ?? catalogue.regions,
    pinned: admitted.regions,
    overflowing: overflow,
  };
  const { choices, names, lacking } = await rank(travel, job, leg, where);
  // Who has answered this request is known to be there, or to have been, whatever became of its beats.
  const known = new Map(choices.map(({ node }) => [node.id, node]));
  for (const node of travel.served) if (!isUpstream(node) && !known.has(node.id)) known.set(node.id, node);
  const nodes = [...known.values()];
  const uncached = new Map(choices.map(({ node, uncachedTokens }) => [node.id, uncachedTokens]));
  mark(travel, "route");
  const order = inOrder(nodes, leg.failed, leg.seen.to, Date.now());
  return walk(withOverflow(order, choices, job.wanted.model.id, overflow), {
    nobody: lacking === undefined ? nobodyIn(admitted.regions) : unsupportedBy(lacking, job.call.modelAs),
    after,
    promptCeiling,
    extended,
    issueByMs,
    // Once the client has its status it waits with us; until then a refusal has to come before the status does.
    roomUntilMs: after === undefined ? job.arrivedAtMs + ROOM_WAIT_MS : Date.now() + ROOM_WAIT_AMID_MS,
    nowMs: Date.now,
    contextTokens: (place) =>
      isUpstream(place)
        ? undefined
        : place.models.find(({ id }) => id === job.wanted.model.id)?.contextTokens,
    drop: ({ drop }) => drop(),
    waitMs: (ms) => scheduler.wait(ms),
    tell: (saying) => tell(travel, who.account, saying, leg.seen),
    extend: extend ?? ((naming, promptCeiling) => extendHold(travel, who.account, naming, promptCeiling)),
    attempt: (naming, promptCeiling) =>
      attempt(travel, {
        job,
        names,
        naming,
        uncachedTokens: (node) => uncached.get(node.id) ?? promptCeiling,
        promptCeiling,
        outputCeiling: admitted.outputCeiling,
        resume,
        overflow: isUpstream(naming.node) ? overflow?.() : undefined,
      }),
  });
}
