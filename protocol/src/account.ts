/**
 * What a Worker says to an account's object: admit, extend, word, settle. Names follow DESIGN's table; docs/PROTOCOL.md
 * tells the story. All times are the object's own clock unless a name says otherwise. Money is integer nano-dollars
 * (1e-9 USD): prices are micro-dollars per million tokens, so a token costs picodollars and a request's cost is rounded
 * up once, to the next nano-dollar. An account can hold 9 million dollars before a double loses a unit.
 *
 * Invariants the object keeps whatever arrives, in whatever order, however often:
 *   posted + held <= credit;  a hold is a committed row before `admit` answers;  a request is billed once.
 */
import { z } from "zod";
import { AttemptName } from "./beat.ts";
import { AccountId, KeyId, NodeId, PlaceId, Region, RequestId } from "./ids.ts";
import { ATTEMPTS_MAX, TOKENS_MAX } from "./limits.ts";
import { Ending, Receipt } from "./receipt.ts";
import { Signed } from "./sign.ts";
import { PriceRow } from "./ticket.ts";
import { Version } from "./version.ts";

const Ordinal = z
  .int()
  .min(0)
  .max(ATTEMPTS_MAX - 1);
const Tokens = z.int().min(0).max(TOKENS_MAX);

/* ---- cached answers --------------------------------------------------------------------------------------------- */

/** `off`: neither. `read`: recall only. `write`: recall, and remember. `refresh`: remember without recalling. */
export const CacheMode = z.enum(["off", "read", "write", "refresh"]);
export type CacheMode = z.infer<typeof CacheMode>;

/** What an account or a key says of cached answers; what it leaves out is the default. */
export const CacheSetting = z.object({ mode: CacheMode.optional(), ttlS: z.int().min(1).optional() });
export type CacheSetting = z.infer<typeof CacheSetting>;

const SALT_ID_CHARS = 8;

/** Tells salts apart. A salt has one part, or more divided by dots; the beginning of each is no secret. */
export function saltId(cacheSalt: string): string {
  return cacheSalt
    .split(".")
    .map((part) => part.slice(0, SALT_ID_CHARS))
    .join(".");
}

/** An answer the Worker has at hand, sealed: what its row will say, and under which salt it was sealed. */
export const HitAsk = z.object({
  saltId: z.string().max(64),
  /** The request itself asked for recalling, whatever account and key say. */
  asked: z.boolean(),
  promptTokens: Tokens,
  cachedTokens: Tokens,
  completionTokens: Tokens,
  reasoningTokens: Tokens,
});
export type HitAsk = z.infer<typeof HitAsk>;

/* ---- upstreams -------------------------------------------------------------------------------------------------- */

/** What an account lets become of its prompts when no node has room; `none` unless it says otherwise. */
export const UpstreamsAllowed = z.enum([
  /** Nodes alone. */
  "none",
  /** Upstreams that neither keep prompts nor train on them. */
  "no-retention",
  "any",
]);
export type UpstreamsAllowed = z.infer<typeof UpstreamsAllowed>;

/**
 * At an upstream nobody signs a receipt: its attempt is settled by the Worker's word. `reported`: the counts are the upstream's
 * own; `estimated`: it gave none, and they were counted from the text.
 */
export const Counted = z.object({
  certainty: z.enum(["reported", "estimated"]),
  /** What the upstream charges the operator. */
  costNanoUsd: z.int().min(0),
});
export type Counted = z.infer<typeof Counted>;

/* ---- admit ------------------------------------------------------------------------------------------------------ */

/** Asks for a hold, and names attempt 0. */
export const AdmitAsk = z.object({
  v: Version,
  account: AccountId,
  key: z.object({ id: KeyId, secretSha256: z.string().length(64) }),
  request: RequestId,
  model: z.string().min(1).max(128),
  /** A stream bills what was handed over; a non-stream answer that never got its body bills nothing. */
  stream: z.boolean(),
  /** The first guess at the prompt, before anyone tokenised it: bytes/3 + 64 per message. */
  promptCeiling: Tokens.min(1),
  /** The client's `max_tokens`; null where it gave none, and then the ceiling follows from the balance. */
  outputAsked: Tokens.min(1).nullable(),
  /** The model's default output ceiling. */
  outputDefault: Tokens.min(1),
  price: PriceRow,
  /** Digests of the client's `Idempotency-Key`, and of the body together with it. */
  idempotency: z.object({ name: z.string().max(64), body: z.string().max(64) }).optional(),
  /** The answer is in the isolate's memory. Where the object agrees there is no hold; an older object makes one. */
  hit: HitAsk.optional(),
});
export type AdmitAsk = z.infer<typeof AdmitAsk>;

/** Whose limit it is: the account's, the key's, or that of a key which made this one. */
export const LimitScope = z.enum(["account", "maker", "key"]);
export type LimitScope = z.infer<typeof LimitScope>;

const RateLimited = z.object({
  kind: z.literal("rate_limited"),
  limit: z.enum(["requests_per_minute", "tokens_per_minute", "requests_per_day"]),
  scope: LimitScope,
  max: z.int().min(0),
  remaining: z.int().min(0).optional(),
  /** Of tokens: what this request may use at most. Where that is more than `max`, waiting does not help. */
  needed: z.int().min(0).optional(),
  retryAfterMs: z.int().min(0),
});

/** With a refusal for want of money: opens a cached answer that costs nothing. A pinned account's is in memory, or nowhere. */
const Cached = z.object({ salt: z.string(), pinned: z.boolean() });

/** What is held by running requests counts as spent: a budget is a wall. */
const BudgetExceeded = z.object({
  kind: z.literal("budget_exceeded"),
  scope: LimitScope,
  /** Days and months are UTC's. */
  period: z.enum(["day", "month", "total"]),
  maxNanoUsd: z.int().min(0),
  spentNanoUsd: z.int(),
  heldNanoUsd: z.int().min(0),
  neededNanoUsd: z.int().min(0),
  /** When the period ends; null: never. */
  resetAtMs: z.int().nullable(),
  heldByOthers: z.boolean(),
  cached: Cached.optional(),
});

/** Why money or a limit says no. Nothing is consumed by a refusal. */
export const AdmitRefusal = z.discriminatedUnion("kind", [
  /** One answer for a key that does not exist, has another secret, or whose account does not exist. */
  z.object({ kind: z.literal("unknown_key") }),
  z.object({ kind: z.literal("key_revoked") }),
  z.object({ kind: z.literal("key_expired"), expiredAtMs: z.int() }),
  z.object({ kind: z.literal("account_suspended") }),
  z.object({ kind: z.literal("model_forbidden") }),
  /** The key is not for requests to models. */
  z.object({ kind: z.literal("scope_missing"), scope: z.string() }),
  /** No region is allowed to the account and the key both. */
  z.object({ kind: z.literal("data_residency_mismatch") }),
  RateLimited,
  z.object({ kind: z.literal("concurrency_limited"), scope: LimitScope, max: z.int().min(0) }),
  BudgetExceeded,
  /** This key's `Idempotency-Key` stands for `request`: it runs, it is over, or it had another body. */
  z.object({
    kind: z.literal("idempotency_conflict"),
    state: z.enum(["running", "completed", "changed"]),
    request: RequestId,
    /** Opens the answer that was kept, where one was; `pinned`: it is nowhere but in memory. */
    cacheSalt: z.string(),
    pinned: z.boolean(),
  }),
  z.object({
    kind: z.literal("insufficient_balance"),
    neededNanoUsd: z.int(),
    /** Balance less what other running requests hold. */
    freeNanoUsd: z.int(),
    /** True where requests still running hold enough that trying again could succeed. */
    heldByOthers: z.boolean(),
    cached: Cached.optional(),
  }),
  /** This request id is known already: the caller's dice are broken, or somebody replays. */
  z.object({ kind: z.literal("duplicate_request") }),
  /** The object cannot commit. Money fails closed. */
  z.object({ kind: z.literal("storage_unavailable") }),
]);
export type AdmitRefusal = z.infer<typeof AdmitRefusal>;

/** What is left of a limit after this admission, for the client's headers. */
export const LimitState = z.object({
  max: z.int().min(0),
  remaining: z.int().min(0),
  resetMs: z.int().min(0),
});
export type LimitState = z.infer<typeof LimitState>;

export const AdmitVerdict = z.discriminatedUnion("ok", [
  z.object({
    ok: z.literal(true),
    promptCeiling: Tokens.min(1),
    /** Absolute position before which output stops. */
    outputCeiling: Tokens.min(1),
    heldNanoUsd: z.int().min(0),
    /**
     * No node call of this request is issued after this moment: with it every call has a last valid moment, after
     * which a hold that no beat ever named can be closed at zero.
     */
    issueByMs: z.int().min(0),
    /** The regions this request may run in: those of account and key both; null where it may run anywhere. */
    regions: z.array(Region).nullable(),
    /** Opens this account's cached answers; forgetting it forgets them. */
    cacheSalt: z.string(),
    requestsPerMinute: LimitState.nullable(),
    requestsPerDay: LimitState.nullable().optional(),
    tokensPerMinute: LimitState.nullable().optional(),
    /**
     * What account and key say of cached answers. Absent: an older object, which does not know the word `recalled`; then
     * nothing is recalled and nothing remembered.
     */
    cache: CacheSetting.optional(),
    /** Absent: none; so is an older object's, which does not know the word `answered`. */
    upstreams: UpstreamsAllowed.optional(),
    /** The hit that was asked for is counted, charged and in the log: nothing is held, and no word follows. */
    hit: z.literal(true).optional(),
  }),
  z.object({ ok: z.literal(false), refusal: AdmitRefusal }),
]);
export type AdmitVerdict = z.infer<typeof AdmitVerdict>;

/* ---- extend ----------------------------------------------------------------------------------------------------- */

/** Once per request: the node counted a larger prompt. Names the ordinal under which the same node is asked again. */
export const ExtendAsk = z.object({
  v: Version,
  account: AccountId,
  request: RequestId,
  ordinal: Ordinal.min(1),
  node: NodeId,
  region: Region,
  issuedAtMs: z.int().min(0),
  promptCeiling: Tokens.min(1),
});
export type ExtendAsk = z.infer<typeof ExtendAsk>;

export const ExtendVerdict = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true), promptCeiling: Tokens.min(1), heldNanoUsd: z.int().min(0) }),
  z.object({
    ok: z.literal(false),
    refusal: z.discriminatedUnion("kind", [
      z.object({
        kind: z.literal("insufficient_balance"),
        neededNanoUsd: z.int(),
        freeNanoUsd: z.int(),
        heldByOthers: z.boolean(),
      }),
      RateLimited,
      BudgetExceeded,
      /** Extended before, or closed, or never admitted. */
      z.object({ kind: z.literal("not_extendable") }),
      z.object({ kind: z.literal("storage_unavailable") }),
    ]),
  }),
]);
export type ExtendVerdict = z.infer<typeof ExtendVerdict>;

/* ---- word ------------------------------------------------------------------------------------------------------- */

export const WordWhy = z.enum([
  /** The client's connection closed. */
  "client_gone",
  /** The client read nothing for too long. */
  "client_slow",
  /** The node refused before `begun`: this ordinal produced nothing and no receipt will come. */
  "refused",
  /** No connection, or it broke: whether the attempt began is not known. */
  "node_lost",
  /** The node said that it failed (`ended=engine_died`, `drained`, `timeout`). */
  "node_failed",
  /** The edge's own limit on silence or on the whole request. */
  "timeout",
  /** No node was ever asked: none had room, or none serves the model. */
  "no_node",
  /** A cached answer was found in a farther layer: no node was asked. Said only to an object that knows it. */
  "recalled",
  /** An upstream answered to its end, which `ended` names. Said only to an object that knows it. */
  "answered",
]);
export type WordWhy = z.infer<typeof WordWhy>;

/** Which of the edge's limits on a node ran out, where the word says `timeout`. */
export const Overrun = z.enum([
  /** The call was neither taken nor refused. */
  "connect",
  /** A node that had taken it said nothing at all any more, not even that it lives. */
  "silence",
  /** It lives, and has no first token. */
  "first_token",
  /** It lives, and makes no further one. */
  "between_tokens",
  /** The whole request. */
  "total",
]);
export type Overrun = z.infer<typeof Overrun>;

/** The call a request goes on with: named before it can have begun, so that it can be struck out if it never did. */
export const NextCall = z.object({
  ordinal: Ordinal.min(1),
  node: PlaceId,
  region: Region,
  issuedAtMs: z.int().min(0),
});
export type NextCall = z.infer<typeof NextCall>;

/**
 * What the Worker saw of an attempt that did not end naturally. Where a word and a receipt of the same ordinal tell
 * different endings, the word's `why` is the truth: a node whose reader let go says `client_gone`, and only the Worker
 * knows that it was a time-out. Receipts of an ordinal whose word says `refused` are ignored.
 */
export const Word = z.object({
  v: Version,
  account: AccountId,
  request: RequestId,
  ordinal: Ordinal,
  why: WordWhy,
  /** With `timeout`. */
  limit: Overrun.optional(),
  /** With `answered`; and with `node_failed`: how the node said that its attempt ended. What this build does not know is as if it were not said. */
  ended: Ending.optional().catch(undefined),
  /** Positions of this request the Worker had forwarded in whole events, over all attempts; 0 where nothing was. */
  seenTo: Tokens,
  /** Of the first producing attempt, from its first event; 0 where none came. */
  prompt: Tokens,
  cached: Tokens,
  /** With `recalled` and `counted`, whose counts the others are too. */
  reasoning: Tokens.optional(),
  /** Of every attempt at an upstream. */
  counted: Counted.optional(),
  node: PlaceId.nullable(),
  region: Region.nullable(),
  /** The call the request goes on with, or null: this is its end. */
  next: NextCall.nullable(),
});
export type Word = z.infer<typeof Word>;

export const WordAck = z.object({
  /** `closed`: the request is settled already, its hold is gone, and no further attempt of it may be forwarded. */
  state: z.enum(["open", "closed", "storage_unavailable"]),
});
export type WordAck = z.infer<typeof WordAck>;

/* ---- settle ----------------------------------------------------------------------------------------------------- */

/** A receipt whose signature and ticket a Worker has checked; `key`, `region`, `model` and `price` are the ticket's. */
export const CheckedReceipt = z.object({
  receipt: Receipt,
  region: Region,
  /** From the ticket: the object bounds what the receipt claims by what the edge allowed. */
  promptCeiling: Tokens,
  outputCeiling: Tokens,
  /** As the node signed it: kept with the usage, so that anybody can check a bill. An older Worker does not send it. */
  signed: Signed.optional(),
});
export type CheckedReceipt = z.infer<typeof CheckedReceipt>;

export const SettleAsk = z.object({
  v: Version,
  account: AccountId,
  receipts: z.array(CheckedReceipt),
  /** Attempts that still run, with how far they have come. */
  renew: z.array(
    z.object({ request: RequestId, ordinal: Ordinal, position: Tokens, node: PlaceId, region: Region }),
  ),
});
export type SettleAsk = z.infer<typeof SettleAsk>;

export const SettleAnswer = z.object({
  /**
   * Kept durably, applied, or known already: the node may forget to send them. A receipt of a request this account has
   * never heard of, or no longer, is acknowledged too: nothing can ever come of it.
   */
  acks: z.array(AttemptName),
  renewed: z.array(AttemptName),
  /** Receipts that were taken and that an operator should hear of; absent where there are none. */
  flagged: z.array(AttemptName.extend({ why: z.enum(["contradicts", "beyond_hold"]) })).optional(),
});
export type Flagged = NonNullable<SettleAnswer["flagged"]>[number];
export type SettleAnswer = z.infer<typeof SettleAnswer>;
