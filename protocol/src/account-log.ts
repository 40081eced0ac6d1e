/**
 * What leaves an account's object: the events of its log, in the messages that carry them to D1. An event is never changed: a
 * correction is a new revision of its request. Money is integer nano-dollars, as in account.ts.
 */
import { z } from "zod";
import { AccountId, KeyId, RequestId } from "./ids.ts";
import { ATTEMPTS_MAX, TOKENS_MAX } from "./limits.ts";
import { Signed } from "./sign.ts";
import { Version } from "./version.ts";

const Tokens = z.int().min(0).max(TOKENS_MAX);

/** How sure a usage row is. Revisions only ever move a request towards `exact`. */
export const Certainty = z.enum([
  /** A receipt closed it. */
  "exact",
  /** A word without its receipt: the money is still held. */
  "pending",
  /** The wait for the receipt is over: what the Worker saw. */
  "estimated",
  /** An upstream without our node said so. */
  "reported",
  /** Nobody can know; nothing is billed. */
  "unknown",
]);
export type Certainty = z.infer<typeof Certainty>;

/** One attempt as it will be looked up later. */
export const AttemptTrace = z.object({
  ordinal: z
    .int()
    .min(0)
    .max(ATTEMPTS_MAX - 1),
  node: z.string().nullable(),
  region: z.string().nullable(),
  ended: z.string(),
  to: Tokens,
  /** Its receipt, as the node signed it; absent where none came. */
  receipt: Signed.optional(),
  /** Of an upstream: what it charges the operator. Not for the account's eyes. */
  upstreamCostNanoUsd: z.int().min(0).optional(),
});
export type AttemptTrace = z.infer<typeof AttemptTrace>;

export const UsageEvent = z.object({
  kind: z.literal("usage"),
  seq: z.int().min(1),
  request: RequestId,
  /** 0 at first; a correction is a new row with the next number. */
  revision: z.int().min(0),
  key: KeyId,
  model: z.string(),
  stream: z.boolean(),
  certainty: Certainty,
  /** An Ending, a WordWhy (`timeout_<limit>` where the limit is known), or `never_began`. */
  ended: z.string(),
  promptTokens: Tokens,
  cachedTokens: Tokens,
  completionTokens: Tokens,
  reasoningTokens: Tokens,
  /** Of the whole request, as of this revision; without the write-off. */
  costNanoUsd: z.int().min(0),
  /** What this event took from the balance: the cost less what earlier revisions took. The ledger adds these up. */
  chargedNanoUsd: z.int(),
  /** The part of it that was granted money; absent where none was. */
  grantedNanoUsd: z.int().optional(),
  /** The part of the cost that a late receipt added after the wait was over: the operator's, not the customer's. */
  writeOffNanoUsd: z.int(),
  priceId: z.string(),
  weights: z.string(),
  attempts: z.array(AttemptTrace).max(ATTEMPTS_MAX),
  admittedAtMs: z.int(),
  closedAtMs: z.int(),
});
export type UsageEvent = z.infer<typeof UsageEvent>;

/** Granted money is spent before topped-up money, and may end. */
export const CreditKind = z.enum(["granted", "topped_up"]);
export type CreditKind = z.infer<typeof CreditKind>;

export const CreditEvent = z.object({
  kind: z.literal("credit"),
  seq: z.int().min(1),
  /** The admin's own id for this credit: giving it twice credits once. */
  creditId: z.string().min(1).max(64),
  amountNanoUsd: z.int(),
  note: z.string().max(200),
  /** Absent: topped up. A negative amount is a correction, or what was left of a grant at its end. */
  credit: CreditKind.optional(),
  /** When granted money ends; absent or null: never. */
  expiresAtMs: z.int().nullable().optional(),
  atMs: z.int(),
});
export type CreditEvent = z.infer<typeof CreditEvent>;

export const AccountEvent = z.discriminatedUnion("kind", [UsageEvent, CreditEvent]);
export type AccountEvent = z.infer<typeof AccountEvent>;

/** One Queue message: consecutive events of one account. Queue and D1 may see it twice, late, or out of order. */
export const EventBatch = z.object({
  v: Version,
  account: AccountId,
  events: z.array(AccountEvent).min(1).max(100),
});
export type EventBatch = z.infer<typeof EventBatch>;
