/**
 * Walks the nodes until the first content of one arrives: each as often as it is in the list, and no more once it has
 * said that it cannot (a list has a node twice only in the middle of an answer, see order.ts). One repetition is the
 * node's own wish: it counted a larger prompt than the hold pays for, the hold is extended once in a request's life, and the same
 * node is asked again. Every call has an ordinal of its own; all but the first are named to the account's object, by the word that
 * says how the one before ended, or by the extension.
 *
 * A walk may also begin in the middle: where a node that had begun to answer broke off, the next one continues.
 *
 * Where the list is at its end and some nodes were there but had no room, one of them is asked again when it expects to have
 * some, as long as there is time (room.ts): a refusal before anything began is no attempt.
 *
 * How a node is tried and what "content" is are the caller's: this file decides only who is next and who is told.
 */
import type { Counted, ExtendVerdict, NextCall, Overrun, Word, WordWhy } from "@sluice/protocol/account";
import { ATTEMPTS_MAX, WORD_ACK_WAIT_MS } from "@sluice/protocol/limits";
import type { Ending } from "@sluice/protocol/receipt";
import type { Refusal } from "@sluice/protocol/refusal";
import { FaultError, type Fault } from "../core/fault.ts";
import { isUpstream, type Place } from "../core/place.ts";
import { judge } from "./judge.ts";
import { askAgain, type Busy } from "./room.ts";

export type Tried<Answer> =
  | { readonly kind: "content"; readonly answer: Answer }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | {
      readonly kind: "failed";
      readonly why: Extract<WordWhy, "node_lost" | "node_failed" | "timeout">;
      /** With `timeout`. */
      readonly limit?: Overrun | undefined;
      /** With `node_failed`: what the node said. */
      readonly ended?: Ending | undefined;
      /** With `node_failed`: its engine is well, and does not take what is asked, or cannot go on with it. */
      readonly refused?: true | undefined;
      /** With `no_room`: when there may be some. */
      readonly retryAfterMs?: number | undefined;
      readonly made?: Made | undefined;
    }
  | { readonly kind: "client_gone"; readonly made?: Made | undefined };

/** What an upstream made of an answer that was never handed on. */
export type Made = {
  readonly counted: Counted;
  readonly reasoning?: number | undefined;
  /** How far it came, where its client left and pays for it. */
  readonly seen?: Pick<Word, "seenTo" | "prompt" | "cached"> | undefined;
};

export type Saying = {
  readonly ordinal: number;
  readonly why: WordWhy;
  /** With `timeout`. */
  readonly limit?: Overrun | undefined;
  /** With `node_failed`. */
  readonly ended?: Ending | undefined;
  readonly node: Place | null;
  readonly next: NextCall | null;
  /** Of an attempt at an upstream that came to something. */
  readonly counted?: Counted | undefined;
  readonly reasoning?: number | undefined;
  /** Where that is not what the client has been sent. */
  readonly seen?: Made["seen"];
};

/** One call as it is named to the node and to the account's object: under the same ordinal, with the same moment. */
export type Naming = { readonly ordinal: number; readonly node: Place; readonly issuedAtMs: number };

/** An attempt that had begun to answer and broke off: the walk goes on from it. */
export type Broken = Pick<Saying, "ordinal" | "why" | "limit" | "ended"> & { readonly node: Place };

export type Steps<Answer> = {
  /** Undefined at the beginning of a request. */
  readonly after: Broken | undefined;
  readonly promptCeiling: number;
  /** The hold has been extended before, and is not again. */
  readonly extended: boolean;
  /** What the client is told where no node can even be asked. */
  readonly nobody: Fault;
  /** No call is issued after this moment. */
  readonly issueByMs: number;
  /** So long nodes that have no room may be waited for. */
  readonly roomUntilMs: number;
  nowMs(): number;
  /** The longest context a place serves this model with; undefined where that is not known. */
  contextTokens(place: Place): number | undefined;
  attempt(naming: Naming, promptCeiling: number): Promise<Tried<Answer>>;
  /** Lets go of an answer that must not be forwarded. */
  drop(answer: Answer): void;
  /** Sends a word, again where it has to; says whether the request goes on. */
  tell(saying: Saying): Promise<"open" | "closed" | "lost">;
  extend(naming: Naming, promptCeiling: number): Promise<ExtendVerdict>;
  waitMs(ms: number): Promise<void>;
};

export type Walked<Answer> = {
  readonly answer: Answer;
  readonly node: Place;
  readonly ordinal: number;
  /** As it may have been extended. */
  readonly promptCeiling: number;
  readonly extended: boolean;
};

/** Throws a FaultError where no node answers, having told the account's object how it ended. */
export async function walk<Answer>(
  /** Looked at no further than the walk goes. */
  ranking: Iterable<Place>,
  steps: Steps<Answer>,
): Promise<Walked<Answer> | "client_gone"> {
  const queue = ranking[Symbol.iterator]();
  let acknowledged: Promise<"open" | "closed" | "lost"> = Promise.resolve("open");
  let promptCeiling = steps.promptCeiling;
  let { extended } = steps;
  let retryAfterMs = RETRY_AFTER_MAX_MS;
  let failed: Fault | undefined;
  /** What an engine last said that it cannot do, and how many cannot for a reason that says nothing about the next. */
  let cannot: Fault | undefined;
  let unable = 0;
  /** Who was busy or failed, and has not said since that it cannot: it may yet do it, and how long a context it has. */
  const mayYet = new Map<string, number>();
  let reached = false;
  const hopeless = new Set<string>();
  /** So long a context is too short; and the longest of those that were not even asked for it. */
  let tooShort = 0;
  let passedOver = 0;
  const busy = new Map<string, Busy>();
  let askedAgain = 0;
  const contextOf = (node: Place): number => steps.contextTokens(node) ?? Number.POSITIVE_INFINITY;
  const nextNode = (): Place | undefined => {
    for (;;) {
      const next = queue.next();
      if (next.done === true) return undefined;
      const context = contextOf(next.value);
      if (context <= tooShort) passedOver = Math.max(passedOver, context);
      else if (!hopeless.has(next.value.id)) return next.value;
    }
  };

  const nextNaming = (ordinal: number, node: Place | undefined): Naming | undefined => {
    const issuedAtMs = steps.nowMs();
    if (node === undefined || ordinal >= ATTEMPTS_MAX || issuedAtMs > steps.issueByMs) return undefined;
    return { ordinal, node, issuedAtMs };
  };

  /** After the list's end: a node that had no room, once it may have some. */
  const whenRoom = async (): Promise<Place | undefined> => {
    const times = { nowMs: steps.nowMs(), untilMs: steps.roomUntilMs, asked: askedAgain };
    const fitting = [...busy.values()].filter(({ node }) => contextOf(node) > tooShort);
    const again = askAgain(fitting, times);
    if (again === undefined) return undefined;
    askedAgain += 1;
    await steps.waitMs(again.waitMs);
    return again.node;
  };

  const first = nextNode();
  const after = steps.after ?? (first !== undefined && isUpstream(first) ? NOBODY : undefined);
  let naming = nextNaming(after === undefined ? 0 : after.ordinal + 1, first);
  if (naming === undefined) {
    await steps.tell({ ...(after ?? { ordinal: 0, why: "no_node", node: null }), next: null });
    throw new FaultError(steps.nobody);
  }
  if (after !== undefined) acknowledged = steps.tell({ ...after, next: nextCall(naming) });
  for (;;) {
    const { ordinal, node }: Naming = naming;
    const end = (
      why: WordWhy,
      more: Pick<Saying, "limit" | "ended"> & Partial<Made> = {},
    ): Promise<unknown> => steps.tell({ ordinal, why, node, next: null, ...more });
    const tried = await steps.attempt(naming, promptCeiling);
    if (tried.kind === "content") {
      const walked = { answer: tried.answer, node, ordinal, promptCeiling, extended };
      if (ordinal === 0) return walked;
      // Nothing of a later node goes out before the books know of it, within reason; and nothing at all where they are
      // closed: what ran there was another's, and the money is given back.
      const state = await Promise.race([
        acknowledged,
        steps.waitMs(WORD_ACK_WAIT_MS).then(() => "late" as const),
      ]);
      if (state !== "closed") return walked;
      steps.drop(tried.answer);
      throw new FaultError({ kind: "upstream_failed" });
    }
    if (tried.kind === "client_gone") {
      await end("client_gone", tried.made);
      return "client_gone";
    }
    reached ||= tried.kind === "refused" || isAnswer(tried);
    // What it said before is over; only what it says now may put it back.
    const wasBusy = busy.delete(node.id);
    mayYet.set(node.id, contextOf(node));
    if (tried.kind === "refused") {
      const verdict = judge(tried.refusal);
      if (verdict.kind === "fault") {
        await end("refused");
        throw new FaultError(verdict.fault);
      }
      if (verdict.kind === "extend") {
        const again: Naming | undefined = extended ? undefined : nextNaming(ordinal + 1, node);
        const extension = again && (await steps.extend(again, verdict.promptTokens));
        extended ||= extension !== undefined;
        if (again !== undefined && extension?.ok) {
          naming = again;
          promptCeiling = extension.promptCeiling;
          continue;
        }
        const fault = extension?.ok === false ? extensionFault(extension.refusal) : undefined;
        if (fault !== undefined) {
          await end("refused");
          throw new FaultError(fault);
        }
        // Another node may count fewer tokens; and the next call begins with a hold that can be extended anew.
        retryAfterMs = Math.min(retryAfterMs, EXTENDED_RETRY_MS);
      }
      if (verdict.kind === "cannot") {
        mayYet.delete(node.id);
        cannot = verdict.fault;
        if (cannot.kind === "context_exceeded")
          tooShort = Math.max(tooShort, cannot.contextTokens, cannot.promptTokens - 1);
        else unable += 1;
      }
      if (verdict.kind === "next") {
        retryAfterMs = Math.min(retryAfterMs, verdict.retryAfterMs);
        // An upstream's limit is no queue: who asks again at once only makes it longer.
        if (verdict.busy && !isUpstream(node))
          busy.set(node.id, { node, roomAtMs: steps.nowMs() + verdict.retryAfterMs });
      }
    } else if (tried.refused === true) {
      // Who has half an answer is told that it broke off, not that the question was wrong.
      if (steps.after !== undefined) cannot = { kind: "upstream_failed" };
      // That the prompt is too long for one says more than that another does not take it.
      else if (cannot?.kind !== "context_exceeded") cannot = ENGINE_REFUSED;
      mayYet.delete(node.id);
      unable += 1;
    } else if (tried.ended === "no_room") {
      const roomInMs = tried.retryAfterMs ?? NO_ROOM_RETRY_MS;
      retryAfterMs = Math.min(retryAfterMs, roomInMs);
      if (wasBusy) busy.set(node.id, { node, roomAtMs: steps.nowMs() + roomInMs });
    } else {
      failed =
        tried.why === "timeout"
          ? { kind: "upstream_timeout", limit: tried.limit ?? "silence" }
          : { kind: "upstream_failed" };
    }
    const why = tried.kind === "refused" ? "refused" : tried.why;
    if (why !== "node_lost") hopeless.add(node.id);
    const { limit, ended, made } = tried.kind === "failed" ? tried : {};
    // The whole request has had its time: another node would have none.
    const over = limit === "total" || ordinal + 1 >= ATTEMPTS_MAX || unable >= CANNOT_MAX;
    const nextOne = over ? undefined : (nextNode() ?? (await whenRoom()));
    const following: Naming | undefined = nextNaming(ordinal + 1, nextOne);
    if (following === undefined) {
      await end(why, { limit, ended, ...made });
      // Nodes that cannot be reached are as good as not there.
      if (!reached && steps.nobody.kind === "data_residency_mismatch") throw new FaultError(steps.nobody);
      const short = [...mayYet.values()].filter((context) => context <= tooShort);
      const nobodyMay = unable >= CANNOT_MAX || short.length === mayYet.size;
      const said = nobodyMay ? cannot : undefined;
      if (said?.kind === "context_exceeded") {
        // To who has half an answer it broke off.
        if (steps.after !== undefined) throw new FaultError({ kind: "upstream_failed" });
        // The client's to know is the longest there is, not that of whoever happened to be asked.
        const contextTokens = Math.max(said.contextTokens, passedOver, ...short);
        throw new FaultError({ ...said, contextTokens });
      }
      throw new FaultError(said ?? failed ?? { kind: "overloaded", retryAfterMs });
    }
    acknowledged = steps.tell({ ordinal, why, limit, ended, node, next: nextCall(following), ...made });
    naming = following;
  }
}

/**
 * Attempt 0, where the first to be asked is an upstream: the account's object has to hear of that call before it is made, because
 * nobody else will ever tell of it.
 */
const NOBODY = { ordinal: 0, why: "no_node", node: null } as const;

function nextCall({ ordinal, node, issuedAtMs }: Naming): NextCall {
  return { ordinal, node: node.id, region: node.region, issuedAtMs };
}

const RETRY_AFTER_MAX_MS = 60_000;
/**
 * Engines that say they cannot do what is asked, until that is the answer: each of them has read the whole prompt. One whose
 * context is too short is none of them: it says nothing about a longer one.
 */
const CANNOT_MAX = 3;
/** Accepted, and then there was no room after all: the node does not say when there is. */
const NO_ROOM_RETRY_MS = 1_000;
/** No node took the prompt within a hold that was extended once. */
const EXTENDED_RETRY_MS = 1_000;
const ENGINE_REFUSED: Fault = {
  kind: "invalid_request",
  param: null,
  message: "The engine that runs this model does not take this request as it is.",
};

/** The node was there: it took the call, or said that it could not. */
function isAnswer(tried: Tried<unknown>): boolean {
  if (tried.kind !== "failed") return true;
  return tried.why === "node_failed" || (tried.why === "timeout" && tried.limit !== "connect");
}

/** Undefined where it is this hold alone that cannot be extended: it was before, or is closed. */
function extensionFault(refusal: Extract<ExtendVerdict, { ok: false }>["refusal"]): Fault | undefined {
  switch (refusal.kind) {
    case "insufficient_balance":
    case "budget_exceeded":
    case "rate_limited":
      return refusal;
    case "storage_unavailable":
      return { kind: "storage_unavailable" };
    case "not_extendable":
      return undefined;
  }
}
