/**
 * SGLang's own API (/generate takes and gives ids). Quirks: `output_ids` in a stream are all so far, unless the server
 * runs with `--incremental-streaming-output`; which of the two it is shows in `completion_tokens`. `extra_key` is the
 * namespace of the radix tree and keeps prefixes apart. `cached_tokens` is in every event. The input has to be shorter
 * than `max_req_input_len`, which is a little less than the context or than all of the KV cache. Grammars go to XGrammar as
 * EBNF. Log probabilities are taken behind bias, penalties, grammar and temperature: they are the model's own only where
 * none of these is at work. Seeds count only with `--enable-deterministic-inference`.
 *
 * Fields: docs.sglang.io, "Sampling Parameters" and "Native APIs"; python/sglang/srt/sampling/sampling_params.py.
 */
import { z } from "zod";
import { logitBiasField } from "./logit-bias.ts";
import type { Leg, Part, Server, Weight } from "./server.ts";

const Info = z.looseObject({
  context_length: z.int().min(1).nullish(),
  max_req_input_len: z.int().min(1).nullish(),
  max_total_num_tokens: z.int().min(1).nullish(),
  served_model_name: z.string().nullish(),
  model_path: z.string().nullish(),
  max_running_requests: z.int().min(1).nullish(),
  enable_deterministic_inference: z.boolean().nullish(),
});
const Tokens = z.object({ tokens: z.array(z.int().min(0)) });
/** A logarithm, a token's id, and its text where that was asked for. */
const Weighed = z.tuple([z.number().nullable(), z.int().min(0)]).rest(z.unknown());
const Event = z.object({
  output_ids: z.array(z.int().min(0)),
  meta_info: z.looseObject({
    completion_tokens: z.int().min(0),
    cached_tokens: z.int().min(0).nullish(),
    finish_reason: z.looseObject({ type: z.enum(["stop", "length", "abort"]) }).nullish(),
    output_token_logprobs: z.array(Weighed).nullish(),
    output_top_logprobs: z.array(z.array(Weighed).nullable()).nullish(),
  }),
});
type Meta = z.infer<typeof Event>["meta_info"];
const EVERYTHING = -1;

export const sglang: Server = {
  name: "sglang",
  isolation: "salt",
  notation: "xgrammar",
  factPaths: [["/server_info", "/get_server_info"]],
  facts: ([answer]) => {
    const info = Info.parse(answer);
    const context = info.context_length ?? info.max_req_input_len ?? undefined;
    if (context === undefined)
      throw new Error("it does not say how long its context is (context_length in /server_info)");
    return {
      model: info.served_model_name ?? info.model_path ?? "default",
      contextTokens: Math.min(
        context,
        info.max_req_input_len ?? context,
        info.max_total_num_tokens ?? context,
      ),
      slots: info.max_running_requests ?? undefined,
      seeded: info.enable_deterministic_inference === true,
    };
  },
  tokenize: (model, text) => ({
    path: "/tokenize",
    body: { model, prompt: text, add_special_tokens: false },
  }),
  tokensIn: (answer) => Tokens.parse(answer).tokens,
  generate: (_model, leg, { tag }) => ({
    path: "/generate",
    body: {
      input_ids: leg.tokens,
      sampling_params: {
        max_new_tokens: leg.tokensMax,
        ...samplingOf(leg),
        ...(leg.grammar === undefined ? {} : { ebnf: leg.grammar }),
        skip_special_tokens: false,
      },
      ...(leg.logprobs === undefined
        ? {}
        : { return_logprob: true, logprob_start_len: -1, top_logprobs_num: leg.logprobs }),
      stream: true,
      extra_key: tag === undefined ? `r${crypto.randomUUID()}` : `t${tag}`,
    },
  }),
  reader: () => {
    let seen = 0;
    return (raw): Part => {
      const { output_ids: ids, meta_info: meta } = Event.parse(raw);
      const total = meta.completion_tokens;
      const fresh = ids.length === total ? ids.slice(seen) : ids;
      seen = total;
      const cached = meta.cached_tokens ?? undefined;
      const end = meta.finish_reason?.type;
      if (end === "abort") return { gaveUp: true };
      return {
        ids: fresh,
        ...weightsField(meta, fresh.length),
        positions: total,
        ...(cached === undefined ? {} : { cached }),
        ...(end === undefined ? {} : { end }),
      };
    };
  },
  tellsBehindEnd: false,
  notRaw: ({ sampling, grammar }) => {
    const { temperature, presencePenalty, frequencyPenalty, logitBias = [] } = sampling;
    if (temperature !== 0 && temperature !== 1) return "at a temperature other than 0 and 1";
    if (presencePenalty || frequencyPenalty) return "beside penalties";
    // Who forbids a token wants no probability of it: of the others the model's own are left.
    if (logitBias.some(([, bias]) => Number.isFinite(bias))) return "beside a bias";
    return grammar === undefined ? undefined : "beside a form of the answer or tools";
  },
  metrics: {
    running: "sglang:num_running_reqs",
    waiting: "sglang:num_queue_reqs",
    kvUsage: "sglang:token_usage",
  },
  hints: {
    ids: "SGLang's /generate, without --skip-tokenizer-init",
    apart: "SGLang 0.5.4 or newer, whose extra_key does",
    grammar: "SGLang 0.5.13 or newer, with --grammar-backend xgrammar and without --reasoning-parser",
    cached: "--enable-cache-report",
    metrics: "--enable-metrics",
  },
};

/** Of the newest tokens, whether or not the lists hold those before them. */
function weightsField(
  { output_token_logprobs: own, output_top_logprobs: top }: Meta,
  count: number,
): { readonly weights?: readonly Weight[] } {
  if (own === null || own === undefined || count === 0) return {};
  const tops = (top ?? []).slice(-count);
  const weights = own.slice(-count).map(([logprob], at) => ({
    own: logprob ?? 0,
    top: (tops[at] ?? []).map(([value, id]) => [id, value ?? 0] as const),
  }));
  return { weights };
}

function samplingOf({ sampling }: Leg): object {
  const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty, logitBias, seed } = sampling;
  return {
    temperature,
    top_p: topP,
    top_k: topK === undefined || topK === 0 ? EVERYTHING : topK,
    min_p: minP ?? 0,
    presence_penalty: presencePenalty ?? 0,
    frequency_penalty: frequencyPenalty ?? 0,
    repetition_penalty: 1,
    ...(seed === undefined ? {} : { sampling_seed: seed }),
    ...logitBiasField(logitBias),
  };
}
