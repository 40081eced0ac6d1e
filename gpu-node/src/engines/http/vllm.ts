/**
 * vLLM's OpenAI server (0.20 or newer). Quirks: prompts are sent as ids to /v1/completions and come back as ids with
 * `return_token_ids`; `cache_salt` keeps prefixes apart and must not be empty; how much was cached is said only with
 * `--enable-prompt-tokens-details`, and then behind the end, so the first event reports none; special tokens in the text
 * of /tokenize always become special, which is why content is cut before it is sent. Grammars go to XGrammar as EBNF (0.1.33
 * or newer knows tokens by id). Log probabilities are raw unless the operator chose another `--logprobs-mode`; tokens are named by id in them.
 *
 * Fields: vllm/entrypoints/openai/completion/protocol.py and serving.py; docs.vllm.ai, "Structured Outputs".
 */
import { z } from "zod";
import { logitBiasField } from "./logit-bias.ts";
import type { Leg, Part, Server, Weight } from "./server.ts";

const Models = z.object({
  data: z.array(z.object({ id: z.string(), max_model_len: z.int().min(1).nullish() })).min(1),
});
const Tokens = z.object({ tokens: z.array(z.int().min(0)) });
const Logprobs = z.object({
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
});
const Event = z.object({
  choices: z
    .array(
      z.object({
        token_ids: z.array(z.int().min(0)).nullish(),
        finish_reason: z.enum(["stop", "length", "abort", "error"]).nullish(),
        logprobs: Logprobs.nullish(),
      }),
    )
    .max(1),
  usage: z
    .object({ prompt_tokens_details: z.object({ cached_tokens: z.int().min(0).nullish() }).nullish() })
    .nullish(),
});

export const vllm: Server = {
  name: "vllm",
  isolation: "salt",
  notation: "xgrammar",
  factPaths: [["/v1/models"]],
  facts: ([models]) => {
    const [model] = Models.parse(models).data;
    if (model?.max_model_len === undefined || model.max_model_len === null)
      throw new Error("it does not say how long its context is (max_model_len in /v1/models)");
    return { model: model.id, contextTokens: model.max_model_len, slots: undefined, seeded: true };
  },
  tokenize: (model, text) => ({
    path: "/tokenize",
    body: { model, prompt: text, add_special_tokens: false },
  }),
  tokensIn: (answer) => Tokens.parse(answer).tokens,
  generate: (model, leg, { tag }) => ({
    path: "/v1/completions",
    body: {
      model,
      prompt: leg.tokens,
      max_tokens: leg.tokensMax,
      ...samplingOf(leg),
      ...(leg.grammar === undefined ? {} : { structured_outputs: { grammar: leg.grammar } }),
      ...(leg.logprobs === undefined ? {} : { logprobs: leg.logprobs, return_tokens_as_token_ids: true }),
      stream: true,
      stream_options: { include_usage: true },
      return_token_ids: true,
      skip_special_tokens: false,
      add_special_tokens: false,
      // Without reuse nobody else ever has this salt.
      cache_salt: tag === undefined ? `r${crypto.randomUUID()}` : `t${tag}`,
    },
  }),
  reader:
    () =>
    (event): Part => {
      const { choices, usage } = Event.parse(event);
      const [choice] = choices;
      const cached = usage?.prompt_tokens_details?.cached_tokens ?? undefined;
      const told = cached === undefined ? {} : { cached };
      if (choice === undefined) return told;
      const { token_ids: ids, finish_reason: end, logprobs } = choice;
      if (end === "abort" || end === "error") return { gaveUp: true };
      return {
        ...told,
        ...(ids === null || ids === undefined ? {} : { ids }),
        ...(logprobs === null || logprobs === undefined ? {} : { weights: weightsOf(logprobs) }),
        ...(end === null || end === undefined ? {} : { end }),
      };
    },
  tellsBehindEnd: true,
  metrics: {
    running: "vllm:num_requests_running",
    waiting: "vllm:num_requests_waiting",
    kvUsage: "vllm:kv_cache_usage_perc",
  },
  hints: {
    ids: "vLLM 0.10.2 or newer, 0.20 for all that is asked here",
    apart: "vLLM 0.10 or newer, whose cache_salt does",
    grammar: "vLLM 0.20 or newer, with XGrammar and without --reasoning-parser",
    cached: "--enable-prompt-tokens-details",
    metrics: "vLLM 0.10 or newer",
  },
};

const NAMED_BY_ID = "token_id:";

function weightsOf({ token_logprobs: own, top_logprobs: top }: z.infer<typeof Logprobs>): readonly Weight[] {
  return own.map((logprob, at) => ({
    own: logprob ?? 0,
    top: Object.entries(top[at] ?? {})
      .flatMap(([name, value]) =>
        name.startsWith(NAMED_BY_ID) ? [[Number(name.slice(NAMED_BY_ID.length)), value] as const] : [],
      )
      .sort(([, a], [, b]) => b - a),
  }));
}

function samplingOf({ sampling }: Leg): object {
  const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty, logitBias, seed } = sampling;
  return {
    temperature,
    top_p: topP,
    top_k: topK ?? 0,
    min_p: minP ?? 0,
    presence_penalty: presencePenalty ?? 0,
    frequency_penalty: frequencyPenalty ?? 0,
    repetition_penalty: 1,
    ...(seed === undefined ? {} : { seed }),
    ...logitBiasField(logitBias),
  };
}
