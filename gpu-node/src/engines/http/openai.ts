/**
 * Any server of OpenAI's /v1/chat/completions: what it is asked, and what its stream says. Nothing of it is taken for granted
 * but the shape: thinking comes as `reasoning_content` or `reasoning`, or not at all; usage at the end, with every chunk, or
 * never. Unknown fields are not sent: some of these servers refuse them. Pure.
 */
import { z } from "zod";
import { EngineFault, type Said, type Sampling } from "../engine.ts";
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
const CallDelta = z.object({
  index: Count.default(0),
  function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
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
            tool_calls: z.array(CallDelta).nullish(),
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
  said: Said,
  tokensMax: number,
  { sampling, extra, apart }: { readonly sampling: Sampling; readonly extra: object; readonly apart: object },
): Asked {
  const { temperature, topP, presencePenalty, frequencyPenalty, seed } = sampling;
  return {
    path: "/v1/chat/completions",
    body: {
      ...extra,
      model,
      messages: printMessages(said.messages),
      ...printForm(said),
      max_tokens: tokensMax,
      temperature,
      top_p: topP,
      ...(presencePenalty ? { presence_penalty: presencePenalty } : {}),
      ...(frequencyPenalty ? { frequency_penalty: frequencyPenalty } : {}),
      ...(seed === undefined ? {} : { seed }),
      ...(said.stops.length === 0 ? {} : { stop: said.stops.slice(0, STOPS_MAX) }),
      ...apart,
      stream: true,
      stream_options: { include_usage: true },
    },
  };
}

/** A tool's message answers the call of its place: the ids say so again. */
function printMessages(messages: Said["messages"]): readonly object[] {
  const open: string[] = [];
  return messages.map(({ role, content, toolCalls = [] }, at) => {
    if (role === "tool") return { role, content, tool_call_id: open.shift() ?? "" };
    if (toolCalls.length === 0) return { role, content };
    const calls = toolCalls.map((called, nth) => {
      const id = `call_${at}_${nth}`;
      open.push(id);
      return { id, type: "function", function: { name: called.name, arguments: called.arguments } };
    });
    return { role, content: content === "" ? null : content, tool_calls: calls };
  });
}

function printForm({ form, tools }: Said): object {
  const strict = new Set(form.tools.filter((tool) => tool.strict).map(({ name }) => name));
  return {
    ...(form.format.kind === "json" ? { response_format: { type: "json_object" } } : {}),
    ...(form.format.kind === "schema"
      ? {
          response_format: {
            type: "json_schema",
            json_schema: { name: "answer", schema: form.format.schema, strict: form.format.strict },
          },
        }
      : {}),
    ...(tools.length === 0
      ? {}
      : {
          tools: tools.map(({ name, description, parameters }) => ({
            type: "function",
            function: {
              name,
              description,
              parameters: JSON.parse(parameters) as unknown,
              ...(strict.has(name) ? { strict: true } : {}),
            },
          })),
          ...(form.parallel ? {} : { parallel_tool_calls: false }),
          ...(form.call === "must" ? { tool_choice: choiceOf(form, tools) } : {}),
        }),
  };
}

/** Where one of several has to be called, it is named. */
function choiceOf(form: Said["form"], tools: Said["tools"]): unknown {
  const [only] = form.tools;
  return form.tools.length === 1 && tools.length > 1
    ? { type: "function", function: { name: only?.name } }
    : "required";
}

/** A piece of a call of a tool; its name comes with the first. */
export type CallPiece = { readonly index: number; readonly name: string; readonly arguments: string };

export type TextPart = {
  readonly reasoning: string;
  readonly content: string;
  readonly calls: readonly CallPiece[];
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

/** What servers call an end that is the model's own, or, of a filter, one that no other try would better. */
const STOPS: ReadonlySet<string> = new Set([
  "stop",
  "tool_calls",
  "function_call",
  "eos",
  "eos_token",
  "end_turn",
  "stop_sequence",
  "content_filter",
]);

const LENGTHS: ReadonlySet<string> = new Set(["length", "max_tokens", "model_length"]);

/** An answer that the server broke off (`abort`, `error`, words nobody knows) is not sold as a whole one. */
function endOf(reason: string): "stop" | "length" | undefined {
  // What some servers say before the end, where others say null.
  if (reason === "") return undefined;
  if (LENGTHS.has(reason)) return "length";
  if (STOPS.has(reason)) return "stop";
  throw new EngineFault("failed", `the server ended the answer with '${reason.slice(0, 50)}'`);
}

export function readChat(event: unknown): TextPart {
  const { choices, usage } = Event.parse(event);
  const [choice] = choices;
  const end = choice?.finish_reason ?? undefined;
  return {
    reasoning: choice?.delta?.reasoning_content ?? choice?.delta?.reasoning ?? "",
    content: choice?.delta?.content ?? "",
    calls: (choice?.delta?.tool_calls ?? []).map(({ index, function: called }) => ({
      index,
      name: called?.name ?? "",
      arguments: called?.arguments ?? "",
    })),
    end: end === undefined ? undefined : endOf(end),
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
