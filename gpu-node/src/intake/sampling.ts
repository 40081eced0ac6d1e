/**
 * The fields that say how tokens are chosen and how many of them, alike in all of OpenAI's dialects, and the extensions
 * that vLLM and llama-server made common (`top_k`, `min_p`). Pure.
 */
import { z } from "zod";
import type { Sampling } from "../engines/engine.ts";
import { invalidField, type Refused } from "./refuse.ts";

const STOPS_MAX = 16;
/** Each token looks at the tail of the text once per stop string: long ones are paid by everybody. */
const STOP_CHARS_MAX = 1_024;
const TOKENS_MAX = 10_000_000;
const BIASES_MAX = 1_024;
const BIAS_MAX = 100;
/** More choices than this are a batch. */
const CHOICES_MAX = 16;

export const tokenCount = z.int().min(1).max(TOKENS_MAX).nullish();
const penalty = z.number().min(-2).max(2).nullish();

export const samplingFields = {
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  seed: z.int().nullish(),
  stop: z
    .union([z.string().max(STOP_CHARS_MAX), z.array(z.string().max(STOP_CHARS_MAX)).max(STOPS_MAX)], {
      error: `a text, or a list of at most ${STOPS_MAX} texts, each of at most ${STOP_CHARS_MAX} characters`,
    })
    .nullish(),
  n: z.int().min(1).max(CHOICES_MAX).nullish(),
  logit_bias: z.record(z.string(), z.number().min(-BIAS_MAX).max(BIAS_MAX)).nullish(),
};
const SamplingBody = z.object(samplingFields);
export type SamplingBody = z.infer<typeof SamplingBody>;

export type ReadSampling = { readonly ok: true; readonly sampling: Sampling } | Refused;

export function samplingOf(body: SamplingBody): ReadSampling {
  const logitBias: (readonly [number, number])[] = [];
  const biases = Object.entries(body.logit_bias ?? {});
  if (biases.length > BIASES_MAX) return invalidField("logit_bias", `${BIASES_MAX} tokens at most`);
  for (const [key, bias] of biases) {
    if (!/^\d{1,8}$/.test(key)) return invalidField("logit_bias", `'${key.slice(0, 40)}' is not a token id`);
    // At the lowest a token is not to come at all, as clients expect.
    logitBias.push([Number(key), bias === -BIAS_MAX ? Number.NEGATIVE_INFINITY : bias]);
  }
  return {
    ok: true,
    sampling: {
      temperature: body.temperature ?? 1,
      topP: body.top_p ?? 1,
      // -1 is how vLLM's clients say "all".
      topK: Math.max(0, body.top_k ?? 0),
      minP: body.min_p ?? 0,
      frequencyPenalty: body.frequency_penalty ?? 0,
      presencePenalty: body.presence_penalty ?? 0,
      logitBias,
      ...(body.seed === null || body.seed === undefined ? {} : { seed: body.seed }),
    },
  };
}

/** Empty strings stop nothing. */
export function stopsOf(stop: SamplingBody["stop"]): readonly string[] {
  if (stop === null || stop === undefined) return [];
  return (typeof stop === "string" ? [stop] : stop).filter((text) => text !== "");
}
