/**
 * Any server of OpenAI's /v1/chat/completions: what it is asked, and what its stream says. Nothing of it is taken for granted
 * but the shape: thinking comes as `reasoning_content` or `reasoning`, or not at all; usage at the end, with every chunk, or
 * never. Unknown fields are not sent: some of these servers refuse them. Pure.
 */
import { z } from "zod";
import type { Said, Sampling } from "../engine.ts";
import type { Asked } from "./server.ts";

const Count = z.int().min(0);
const Models = z.object({
  data: z
    .array(
      z.object({
        id: z.string(),
        max_model_len: z.int().min(1).nullish(),
        context_length: z.int().min(1).nullish(),
      }),
    )
    .min(1),
});
const Usage = z.object({
  prompt_tokens: Count,
  completion_tokens: Count,
  prompt_tokens_details: z.object({ cached_tokens: Count.nullish() }).nullish(),
  completion_tokens_details: z.object({ reasoning_tokens: Count.nullish() }).nullish(),
});
const Event = z.object({
  choices: z
    .array(
      z.object({
        delta: z
          .object({
            content: z.string().nullish(),
            reasoning_content: z.string().nullish(),
            reasoning: z.string().nullish(),
          })
          .nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .max(1)
    .default([]),
  usage: Usage.nullish(),
});

/** OpenAI's own limit. */
const STOPS_MAX = 4;

export type TextFacts = { readonly model: string; readonly contextTokens: number | undefined };

/** `wanted`: the server's own name of the model; undefined: the first it names. */
export function textFacts(answer: unknown, wanted: string | undefined): TextFacts {
  const { data } = Models.parse(answer);
  const model = wanted === undefined ? data[0] : data.find(({ id }) => id === wanted);
  if (model === undefined)
    throw new Error(`it serves ${data.map(({ id }) => id).join(", ")}, and not ${wanted}`);
  return { model: model.id, contextTokens: model.max_model_len ?? model.context_length ?? undefined };
}

export function askChat(
  model: string,
  { messages, stops }: Said,
  tokensMax: number,
  sampling: Sampling,
): Asked {
  const { temperature, topP, presencePenalty, frequencyPenalty, seed } = sampling;
  return {
    path: "/v1/chat/completions",
    body: {
      model,
      messages: messages.map(({ role, content }) => ({ role, content })),
      max_tokens: tokensMax,
      temperature,
      top_p: topP,
      ...(presencePenalty ? { presence_penalty: presencePenalty } : {}),
      ...(frequencyPenalty ? { frequency_penalty: frequencyPenalty } : {}),
      ...(seed === undefined ? {} : { seed }),
      ...(stops.length === 0 ? {} : { stop: stops.slice(0, STOPS_MAX) }),
      stream: true,
      stream_options: { include_usage: true },
    },
  };
}

export type TextPart = {
  readonly reasoning: string;
  readonly content: string;
  readonly end: "stop" | "length" | undefined;
  readonly counted:
    | {
        readonly prompt: number;
        readonly cached: number;
        readonly positions: number;
        readonly reasoning: number | undefined;
      }
    | undefined;
};

export function readChat(event: unknown): TextPart {
  const { choices, usage } = Event.parse(event);
  const [choice] = choices;
  const end = choice?.finish_reason ?? undefined;
  return {
    reasoning: choice?.delta?.reasoning_content ?? choice?.delta?.reasoning ?? "",
    content: choice?.delta?.content ?? "",
    end: end === undefined ? undefined : end === "length" ? "length" : "stop",
    counted:
      usage === null || usage === undefined
        ? undefined
        : {
            prompt: usage.prompt_tokens,
            cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
            positions: usage.completion_tokens,
            reasoning: usage.completion_tokens_details?.reasoning_tokens ?? undefined,
          },
  };
}
