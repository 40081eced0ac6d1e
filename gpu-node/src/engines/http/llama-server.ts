/**
 * llama.cpp's llama-server, through its own /completion. Quirks: a token inside a character shows no id (only the
 * token that finishes the character does), so ids go by with a count and the text they make; nothing keeps prefixes of
 * different tags apart but the slots themselves, which a task can be pinned to, and `--cache-ram` would move them
 * between slots behind our back: prefixes are reused only where the operator says that it is 0. Grammars are its own. Log
 * probabilities are the model's own; of a token that shows no id there is none.
 *
 * Fields: llama.cpp, tools/server/README.md and server-task.cpp.
 */
import { z } from "zod";
import type { Part, Server, Weight } from "./server.ts";

const Props = z.looseObject({
  total_slots: z.int().min(1),
  model_alias: z.string().nullish(),
  default_generation_settings: z.looseObject({ n_ctx: z.int().min(1) }),
});
const Tokens = z.object({ tokens: z.array(z.int().min(0)) });
const Weighed = z.looseObject({ id: z.int().min(0), logprob: z.number() });
const Event = z.looseObject({
  tokens: z.array(z.int().min(0)),
  content: z.string(),
  stop: z.boolean(),
  tokens_predicted: z.int().min(0),
  stop_type: z.string().optional(),
  completion_probabilities: z.array(Weighed.extend({ top_logprobs: z.array(Weighed) })).optional(),
  prompt_progress: z.looseObject({ cache: z.int().min(0), processed: z.int().min(0) }).optional(),
});

export const llamaServer: Server = {
  name: "llama-server",
  isolation: "slots",
  notation: "gbnf",
  factPaths: [["/props"]],
  facts: ([answer]) => {
    const {
      total_slots: slots,
      model_alias: alias,
      default_generation_settings: settings,
    } = Props.parse(answer);
    return { model: alias ?? "default", contextTokens: settings.n_ctx, slots, seeded: true };
  },
  tokenize: (_model, text, special) => ({
    path: "/tokenize",
    body: { content: text, add_special: false, parse_special: special },
  }),
  tokensIn: (answer) => Tokens.parse(answer).tokens,
  generate: (_model, leg, { slot, tag }) => {
    const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty, logitBias, seed } =
      leg.sampling;
    return {
      path: "/completion",
      body: {
        prompt: leg.tokens,
        n_predict: leg.tokensMax,
        temperature,
        top_p: topP,
        top_k: topK ?? 0,
        min_p: minP ?? 0,
        presence_penalty: presencePenalty ?? 0,
        frequency_penalty: frequencyPenalty ?? 0,
        repeat_penalty: 1,
        // Temperature first, as everywhere else here.
        samplers: ["penalties", "temperature", "top_k", "top_p", "min_p"],
        ...(logitBias === undefined
          ? {}
          : { logit_bias: logitBias.map(([id, bias]) => [id, Number.isFinite(bias) ? bias : false]) }),
        ...(seed === undefined ? {} : { seed }),
        ...(leg.grammar === undefined ? {} : { grammar: leg.grammar }),
        // None asked for would be none of the token's own, too.
        ...(leg.logprobs === undefined ? {} : { n_probs: Math.max(1, leg.logprobs) }),
        stream: true,
        return_tokens: true,
        return_progress: true,
        cache_prompt: tag !== undefined,
        ...(slot === undefined ? {} : { id_slot: slot }),
      },
    };
  },
  reader:
    () =>
    (raw): Part => {
      const event = Event.parse(raw);
      const { prompt_progress: progress, stop_type: why } = event;
      if (progress !== undefined) return { cached: progress.cache, evaluated: progress.processed };
      if (event.stop)
        return {
          positions: event.tokens_predicted,
          end: why === "eos" || why === "word" ? "stop" : "length",
        };
      const weights = event.completion_probabilities?.map(weightOf);
      return {
        ids: event.tokens,
        ...(weights === undefined ? {} : { weights }),
        positions: event.tokens_predicted,
        text: event.content,
      };
    },
  tellsBehindEnd: false,
  metrics: { running: "llamacpp:requests_processing", waiting: "llamacpp:requests_deferred" },
  hints: {
    ids: "a llama-server whose /completion knows return_tokens",
    apart: "--reuse-in-slots of the node, with --cache-ram 0 there",
    grammar: "a newer llama-server",
    cached: "a llama-server whose /completion knows return_progress",
    metrics: "--metrics",
  },
};

function weightOf({
  logprob,
  top_logprobs: top,
}: {
  readonly logprob: number;
  readonly top_logprobs: readonly z.infer<typeof Weighed>[];
}): Weight {
  return { own: logprob, top: top.map(({ id, logprob: value }) => [id, value] as const) };
}
