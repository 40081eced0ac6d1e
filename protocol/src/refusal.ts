/**
 * Refusals: a node's answer to a call it does not take. The body is `{"refusal": {...}}`, the status says the same to
 * people and proxies. A refusal comes before `begun`: nothing was journalled, nothing will be billed, the next node may
 * be asked. What the client got wrong (`invalid_request` and its kin) is the same on every node and is not tried again.
 */
import { z } from "zod";
import { VersionRange } from "./version.ts";

const retryAfterMs = z.int().min(0).max(60_000);

export const Refusal = z.discriminatedUnion("kind", [
  /** The exact prompt is over the ceiling the hold pays for: extend it and ask again under a new ordinal. */
  z.object({ kind: z.literal("hold_too_small"), promptTokens: z.int().min(1) }),
  /** No slot will be free soon enough. */
  z.object({ kind: z.literal("queue_full"), retryAfterMs }),
  /** Slots are free but the memory for this prompt's keys and values is not. */
  z.object({ kind: z.literal("kv_full"), retryAfterMs }),
  /** No room for its receipt: the journal is full of receipts that no edge has acknowledged. */
  z.object({ kind: z.literal("journal_full"), retryAfterMs }),
  z.object({ kind: z.literal("draining") }),
  z.object({ kind: z.literal("loading"), retryAfterMs }),
  z.object({ kind: z.literal("unknown_model"), model: z.string().max(128) }),
  /** Prompt plus at least one output position does not fit the model's context; counted until that was clear. */
  z.object({
    kind: z.literal("prompt_too_long"),
    promptTokens: z.int().min(1),
    contextTokens: z.int().min(1),
  }),
  z.object({
    kind: z.literal("invalid_request"),
    param: z.string().nullable(),
    message: z.string().max(1_000),
  }),
  z.object({
    kind: z.literal("unsupported_parameter"),
    param: z.string(),
    message: z.string().max(1_000),
    /** It is this engine that cannot do it: another one that serves the model may. */
    elsewhere: z.literal(true).optional(),
  }),
  z.object({ kind: z.literal("body_too_large"), bytesMax: z.int().min(1) }),
  /** Not a call from our edge, or not for this node. */
  z.object({ kind: z.literal("bad_mac") }),
  z.object({ kind: z.literal("wrong_node") }),
  /** Older than ten seconds, or this (request, ordinal) was here before. */
  z.object({ kind: z.literal("stale"), edgeTimeMs: z.int().min(0) }),
  z.object({ kind: z.literal("replayed") }),
  z.object({ kind: z.literal("unknown_version"), speaks: VersionRange }),
  /** The head cannot be read: the edge's mistake, never the client's. */
  z.object({ kind: z.literal("bad_call") }),
  /** The answer to be continued was begun under other weights. */
  z.object({ kind: z.literal("other_weights") }),
]);
export type Refusal = z.infer<typeof Refusal>;

export const RefusalBody = z.object({ refusal: Refusal });

export const REFUSAL_STATUS: { readonly [Kind in Refusal["kind"]]: number } = {
  hold_too_small: 402,
  queue_full: 503,
  kv_full: 503,
  journal_full: 503,
  draining: 503,
  loading: 503,
  unknown_model: 404,
  prompt_too_long: 400,
  invalid_request: 400,
  unsupported_parameter: 400,
  body_too_large: 413,
  bad_mac: 401,
  wrong_node: 401,
  stale: 401,
  replayed: 409,
  unknown_version: 426,
  bad_call: 400,
  other_weights: 409,
};
