/**
 * SGLang's own API (/generate takes and gives ids). Quirks: `output_ids` in a stream are all so far, unless the server
 * runs with `--incremental-streaming-output`; which of the two it is shows in `completion_tokens`. `extra_key` is the
 * namespace of the radix tree and keeps prefixes apart. `cached_tokens` is in every event. The input has to be shorter
 * than `max_req_input_len`, which is a little less than the context or than all of the KV cache.
 */
import { z } from "zod";
import { logitBiasField } from "./logit-bias.ts";
import type { Part, Server } from "./server.ts";

const Info = z.looseObject({
  context_length: z.int().min(1).nullish(),
  max_req_input_len: z.int().min(1).nullish(),
  max_total_num_tokens: z.int().min(1).nullish(),
  served_model_name: z.string().nullish(),
  model_path: z.string().nullish(),
  max_running_requests: z.int().min(1).nullish(),
});
const Tokens = z.object({ tokens: z.array(z.int().min(0)) });
const Event = z.object({
  output_ids: z.array(z.int().min(0)),
  meta_info: z.looseObject({
    completion_tokens: z.int().min(0),
    cached_tokens: z.int().min(0).nullish(),
    finish_reason: z.looseObject({ type: z.enum(["stop", "length", "abort"]) }).nullish(),
  }),
});
const EVERYTHING = -1;

export const sglang: Server = {
  name: "sglang",
  isolation: "salt",
  factPaths: ["/get_server_info"],
  facts: ([answer]) => {
    const info = Info.parse(answer);
    const context = info.context_length ?? info.max_req_input_len ?? undefined;
    if (context === undefined)
      throw new Error("it does not say how long its context is (context_length in /get_server_info)");
    return {
      model: info.served_model_name ?? info.model_path ?? "default",
      contextTokens: Math.min(
        context,
        info.max_req_input_len ?? context,
        info.max_total_num_tokens ?? context,
      ),
      slots: info.max_running_requests ?? undefined,
    };
  },
  tokenize: (model, text) => ({
    path: "/tokenize",
    body: { model, prompt: text, add_special_tokens: false },
  }),
  tokensIn: (answer) => Tokens.parse(answer).tokens,
  generate: (_model, task, { reuse }) => {
    const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty, logitBias } = task.sampling;
    return {
      path: "/generate",
      body: {
        input_ids: [...task.prompt, ...task.delivered],
        sampling_params: {
          max_new_tokens: task.outputTokensMax,
          temperature,
          top_p: topP,
          top_k: topK === undefined || topK === 0 ? EVERYTHING : topK,
          min_p: minP ?? 0,
          presence_penalty: presencePenalty ?? 0,
          frequency_penalty: frequencyPenalty ?? 0,
          skip_special_tokens: false,
          ...logitBiasField(logitBias),
        },
        stream: true,
        extra_key: reuse ? `t${task.tag}` : `r${crypto.randomUUID()}`,
      },
    };
  },
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
        positions: total,
        ...(cached === undefined ? {} : { cached }),
        ...(end === undefined ? {} : { end }),
      };
    };
  },
  metrics: {
    running: "sglang:num_running_reqs",
    waiting: "sglang:num_queue_reqs",
    kvUsage: "sglang:token_usage",
  },
};
