/**
 * An upstream: a server that speaks OpenAI's chat completions and has no node of ours in front of it, enrolled by an admin
 * as overflow. What the request path has to know of one: where it is, what it serves under which names, what it charges, and
 * what it does with prompts. Its secret is here only as it was sealed (upstream-key.ts). Pure.
 */
import { Region, UpstreamId } from "@sluice/protocol/ids";
import { PRICE_MICRO_USD_PER_M_MAX, TOKENS_MAX } from "@sluice/protocol/limits";
import { z } from "zod";

/**
 * What of a call an upstream may be able to do beside plain text, as calls name it (wire/needs.ts). `effort`: it knows
 * `reasoning_effort`, which nodes make a budget of and need no word for.
 */
export const UpstreamFeature = z.enum(["tools", "json", "logit_bias", "penalties", "effort"]);
export type UpstreamFeature = z.infer<typeof UpstreamFeature>;

const rate = z.int().min(0).max(PRICE_MICRO_USD_PER_M_MAX);

/** One name at the upstream. A model of ours may have two: one that thinks, and one that does not. */
export const UpstreamModel = z.strictObject({
  /** Ours. */
  model: z.string().min(1).max(128),
  /** Theirs. */
  as: z.string().min(1).max(128),
  thinks: z.boolean(),
  /** Fields that every call gets there, below what the edge sets itself: how to tell this server to think, or not to. */
  extra: z.record(z.string().min(1).max(64), z.json()),
  /**
   * The field by which this server keeps prefix caches apart: it gets the isolation tag. Null: it has none, and then what it has
   * cached may be another account's.
   */
  tagField: z
    .string()
    .regex(/^[a-z_]{1,64}$/)
    .nullable()
    .default(null),
  /** The longest prompt and answer together that this server takes. Null: nobody has said, and it gets whatever is held. */
  contextTokens: z.int().min(1).max(TOKENS_MAX).nullable().default(null),
  /** What the operator is charged, in micro-dollars per million tokens. */
  inputMicroUsdPerM: rate,
  cachedMicroUsdPerM: rate,
  outputMicroUsdPerM: rate,
});
export type UpstreamModel = z.infer<typeof UpstreamModel>;

/** Output tokens that fit there behind a prompt of so many; none where it is 0 or less. */
export function outputTokensFitting({ contextTokens }: UpstreamModel, promptTokens: number): number {
  return (contextTokens ?? Number.POSITIVE_INFINITY) - promptTokens;
}

/** What becomes of a prompt there, as its operator has promised ours. */
export const DataPolicy = z.strictObject({
  /** Whether prompts and answers may train models. */
  trains: z.boolean(),
  /** Days they are kept; 0: not at all; null: nobody has said. */
  retainsDays: z.int().min(0).max(36_500).nullable(),
  /** Where they are kept. */
  keptIn: Region,
});
export type DataPolicy = z.infer<typeof DataPolicy>;

export const Upstream = z.object({
  kind: z.literal("upstream"),
  id: UpstreamId,
  region: Region,
  /** The base URL: `/chat/completions` follows it. Only an admin sets it. */
  url: z.string(),
  /** Null: the server wants none. */
  sealedKey: z.string().nullable(),
  models: z.array(UpstreamModel),
  features: z.array(UpstreamFeature),
  /** Requests at once, in each isolate. */
  concurrency: z.int().min(1),
  policy: DataPolicy,
});
export type Upstream = z.infer<typeof Upstream>;
