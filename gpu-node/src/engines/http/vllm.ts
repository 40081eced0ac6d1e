/**
 * vLLM's OpenAI server (0.11 or newer). Quirks: prompts are sent as ids to /v1/completions and come back as ids with
 * `return_token_ids`; `cache_salt` keeps prefixes apart and must not be empty; how much was cached is said only with
 * `--enable-prompt-tokens-details`, and then only in the last event, so the first one reports none; special tokens in
 * the text of /tokenize always become special, which is why content is cut before it is sent.
 */
import { z } from "zod";
import type { Task } from "../engine.ts";
import { logitBiasField } from "./logit-bias.ts";
import type { Part, Server } from "./server.ts";

const Models = z.object({
  data: z.array(z.object({ id: z.string(), max_model_len: z.int().min(1).nullish() })).min(1),
});
const Tokens = z.object({ tokens: z.array(z.int().min(0)) });
const Event = z.object({
  choices: z
    .array(
      z.object({
        token_ids: z.array(z.int().min(0)).nullish(),
        finish_reason: z.enum(["stop", "length", "abort", "error"]).nullish(),
      }),
    )
    .max(1),
});

export const vllm: Server = {
  name: "vllm",
  isolation: "salt",
  factPaths: ["/v1/models"],
  facts: ([models]) => {
    const [model] = Models.parse(models).data;
    if (model?.max_model_len === undefined || model.max_model_len === null)
      throw new Error("it does not say how long its context is (max_model_len in /v1/models)");
    return { model: model.id, contextTokens: model.max_model_len, slots: undefined };
  },
  tokenize: (model, text) => ({
    path: "/tokenize",
    body: { model, prompt: text, add_special_tokens: false },
  }),
  tokensIn: (answer) => Tokens.parse(answer).tokens,
  generate: (model, task, { reuse }) => ({
    path: "/v1/completions",
    body: {
      model,
      prompt: [...task.prompt, ...task.delivered],
      max_tokens: task.outputTokensMax,
      ...samplingOf(task),
      stream: true,
      return_token_ids: true,
      skip_special_tokens: false,
      add_special_tokens: false,
      // Without reuse nobody else ever has this salt.
      cache_salt: reuse ? `t${task.tag}` : `r${crypto.randomUUID()}`,
    },
  }),
  reader:
    () =>
    (event): Part => {
      const [choice] = Event.parse(event).choices;
      if (choice === undefined) return {};
      const { token_ids: ids, finish_reason: end } = choice;
      if (end === "abort" || end === "error") return { gaveUp: true };
      return {
        ...(ids === null || ids === undefined ? {} : { ids }),
        ...(end === null || end === undefined ? {} : { end }),
      };
    },
  metrics: {
    running: "vllm:num_requests_running",
    waiting: "vllm:num_requests_waiting",
    kvUsage: "vllm:kv_cache_usage_perc",
  },
};

function samplingOf({ sampling }: Task): object {
  const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty, logitBias } = sampling;
  return {
    temperature,
    top_p: topP,
    top_k: topK ?? 0,
    min_p: minP ?? 0,
    presence_penalty: presencePenalty ?? 0,
    frequency_penalty: frequencyPenalty ?? 0,
    repetition_penalty: 1,
    ...logitBiasField(logitBias),
  };
}
