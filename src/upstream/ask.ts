/**
 * A client's chat as an upstream is asked it. Pure. Only fields named here go along: an upstream may give others a meaning that
 * nobody here has agreed to. What is asked for and cannot be passed on keeps a call away from upstreams altogether, so that no
 * wish is dropped in silence; what nodes ignore is ignored here too.
 */
import { utf8 } from "@sluice/protocol/bytes";
import { z } from "zod";
import { outputTokensFitting, type UpstreamFeature, type UpstreamModel } from "../core/upstream.ts";
import { parseJson } from "../wire/openai-chat.ts";

/** Of text, where a token is guessed: English in a vocabulary of a hundred thousand. */
export const BYTES_PER_TOKEN = 4;

const PASSED = [
  "temperature",
  "top_p",
  "stop",
  "seed",
  "frequency_penalty",
  "presence_penalty",
  "logit_bias",
  "response_format",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "messages",
] as const;
/** Extensions of some servers: whoever asks for one means it. */
const UNPASSABLE = ["top_k", "min_p"] as const;
/** On nodes these are budgets. A server that knows none thinks as long as it likes, at the client's cost. */
const BUDGETS: ReadonlySet<string> = new Set(["minimal", "low", "medium"]);

const Text = z.looseObject({ type: z.literal("text"), text: z.string() });
const Message = z
  .object({
    role: z.enum(["system", "developer", "user", "assistant", "tool"]),
    content: z.union([z.string(), z.array(Text)]).nullish(),
    tool_calls: z.array(z.unknown()).nullish(),
    tool_call_id: z.string().nullish(),
  })
  .transform(({ role, content, ...rest }) => ({
    role: role === "developer" ? "system" : role,
    content: Array.isArray(content) ? content.map(({ text }) => text).join("") : (content ?? null),
    ...rest,
  }));

const Chat = z.looseObject({
  messages: z.array(Message),
  thinking: z.looseObject({ type: z.string(), budget_tokens: z.number().nullish() }).nullish(),
  reasoning_effort: z.string().nullish(),
});

export type UpstreamAsk = {
  /** Whether the model is to think, said or by default. */
  readonly thinks: boolean;
  /** What the server must be able to do, beside the call's own needs. */
  readonly features: readonly UpstreamFeature[];
  /** The prompt's size where nobody has counted it: a quarter of its bytes. */
  readonly promptTokens: number;
  readonly fields: { readonly [field: string]: unknown };
};

/** Undefined where it asks for something that cannot be passed on. */
export function readAsk(body: Uint8Array, thinkingDefault: boolean): UpstreamAsk | undefined {
  const parsed = Chat.safeParse(parseJson(body));
  if (!parsed.success) return undefined;
  const chat = parsed.data;
  const given = (field: string): boolean => chat[field] !== undefined && chat[field] !== null;
  if (UNPASSABLE.some(given)) return undefined;
  const fields = Object.fromEntries(PASSED.filter(given).map((field) => [field, chat[field]]));
  const { thinking, reasoning_effort: effort } = chat;
  const said = thinking ? thinking.type === "enabled" : effort ? effort !== "none" : undefined;
  const thinks = said ?? thinkingDefault;
  const budgeted = thinks && effort && BUDGETS.has(effort);
  const prompt = utf8(JSON.stringify([chat.messages, fields["tools"]])).length;
  return {
    thinks,
    features: budgeted ? ["effort"] : [],
    promptTokens: Math.ceil(prompt / BYTES_PER_TOKEN),
    fields: budgeted ? { ...fields, reasoning_effort: effort } : fields,
  };
}

/**
 * `tag`: whose prefixes may be reused, where the server can be told.
 *
 * Always a stream, whatever the client reads: its pieces show that somebody is at work, and its end has the
 * usage.
 */
export function printAsk(
  ask: UpstreamAsk,
  served: UpstreamModel,
  {
    promptCeiling,
    outputCeiling,
    tag,
  }: { readonly promptCeiling: number; readonly outputCeiling: number; readonly tag: string },
): string {
  const { as, extra, tagField } = served;
  // Strict servers refuse what might not fit.
  const fitting = Math.max(1, outputTokensFitting(served, promptCeiling));
  return JSON.stringify({
    ...extra,
    ...ask.fields,
    ...(tagField === null ? {} : { [tagField]: tag }),
    model: as,
    max_tokens: Math.min(outputCeiling, fitting),
    stream: true,
    stream_options: { include_usage: true },
  });
}
