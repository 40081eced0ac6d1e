/**
 * A client's chat body, as OpenAI and DeepSeek define it, parsed once: exactly the fields this node honours, by name.
 * What it knows and cannot do yet is refused by name, never ignored; what it does not know is ignored and goes no
 * further (extras of an engine are no client's business). Pure.
 */
import { z } from "zod";
import type { ChatMessage, Sampling } from "../engines/engine.ts";
import type { Refusal } from "@sluice/protocol/refusal";

const MESSAGES_MAX = 4_096;
const STOPS_MAX = 16;
/** Each token looks at the tail of the text once per stop string: long ones are paid by everybody. */
const STOP_CHARS_MAX = 1_024;
const TOKENS_MAX = 10_000_000;
const MESSAGE_CHARS_MAX = 500;

const Part = z.looseObject({ type: z.string(), text: z.string().nullish() });

const Message = z.object({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([z.string(), z.array(Part)]).nullish(),
  tool_calls: z.unknown().optional(),
  prefix: z.unknown().optional(),
});

const tokenCount = z.int().min(1).max(TOKENS_MAX).nullish();
const penalty = z.number().min(-2).max(2).nullish();

const ChatBody = z.object({
  model: z.string().min(1).max(128),
  messages: z.array(Message).min(1).max(MESSAGES_MAX),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: tokenCount,
  max_completion_tokens: tokenCount,
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z
    .union([z.string().max(STOP_CHARS_MAX), z.array(z.string().max(STOP_CHARS_MAX)).max(STOPS_MAX)])
    .nullish(),
  thinking: z.object({ type: z.enum(["enabled", "disabled"]) }).nullish(),
  reasoning_effort: z.string().max(32).nullish(),
  n: z.int().min(1).max(128).nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  response_format: z.looseObject({ type: z.string() }).nullish(),
  tools: z.array(z.unknown()).nullish(),
  functions: z.array(z.unknown()).nullish(),
  logit_bias: z.record(z.string(), z.unknown()).nullish(),
  modalities: z.array(z.string()).nullish(),
});
type ChatBody = z.infer<typeof ChatBody>;

export type Chat = {
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly messages: readonly ChatMessage[];
  /** Undefined where the client does not say. */
  readonly thinking: boolean | undefined;
  readonly outputAsked: number | undefined;
  readonly sampling: Sampling;
  readonly stops: readonly string[];
};

export type ParsedChat =
  | { readonly ok: true; readonly chat: Chat }
  | { readonly ok: false; readonly refusal: Refusal };

const decoder = new TextDecoder("utf-8", { fatal: true });

function invalid(message: string, param: string | null): ParsedChat {
  return {
    ok: false,
    refusal: { kind: "invalid_request", param, message: message.slice(0, MESSAGE_CHARS_MAX) },
  };
}

function unsupported(param: string, what: string): Refusal {
  return { kind: "unsupported_parameter", param, message: `'${param}': ${what} is not supported here yet.` };
}

/** A path as OpenAI prints it: `messages[0].role`. */
function printPath(path: readonly PropertyKey[]): string | null {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? String(part) : `.${String(part)}`;
  }
  return text === "" ? null : text;
}

/** The first field that asks for something not done yet. */
function firstUnsupported(body: ChatBody): Refusal | undefined {
  if ((body.n ?? 1) > 1) return unsupported("n", "more than one choice");
  if ((body.tools ?? []).length > 0) return unsupported("tools", "calling tools");
  if ((body.functions ?? []).length > 0) return unsupported("functions", "calling functions");
  if (body.logprobs === true) return unsupported("logprobs", "returning log probabilities");
  if ((body.top_logprobs ?? 0) > 0) return unsupported("top_logprobs", "returning log probabilities");
  if ((body.response_format?.type ?? "text") !== "text")
    return unsupported("response_format", "any format other than text");
  if ((body.frequency_penalty ?? 0) !== 0) return unsupported("frequency_penalty", "a penalty other than 0");
  if ((body.presence_penalty ?? 0) !== 0) return unsupported("presence_penalty", "a penalty other than 0");
  if (Object.keys(body.logit_bias ?? {}).length > 0) return unsupported("logit_bias", "biasing tokens");
  if ((body.modalities ?? []).some((modality) => modality !== "text"))
    return unsupported("modalities", "anything but text");
  return undefined;
}

type Read = { readonly message: ChatMessage } | { readonly refusal: Refusal };

function readMessage(raw: ChatBody["messages"][number], at: number): Read {
  const param = `messages[${at}]`;
  const { role, content } = raw;
  if (role === "tool" || role === "function")
    return { refusal: unsupported(`${param}.role`, `the role '${role}'`) };
  if (Array.isArray(raw.tool_calls) && raw.tool_calls.length > 0)
    return { refusal: unsupported(`${param}.tool_calls`, "a message with tool calls") };
  if (raw.prefix === true) return { refusal: unsupported(`${param}.prefix`, "continuing a given answer") };
  const said = role === "developer" ? "system" : role;
  if (typeof content === "string") return { message: { role: said, content } };
  if (Array.isArray(content)) {
    const odd = content.findIndex((part) => part.type !== "text" || typeof part.text !== "string");
    if (odd >= 0) return { refusal: unsupported(`${param}.content[${odd}].type`, "content other than text") };
    return { message: { role: said, content: content.map((part) => part.text ?? "").join("") } };
  }
  // Assistants whose turn was all thinking or all tool calls say null; a question has to be one.
  if (role === "assistant") return { message: { role: said, content: "" } };
  return {
    refusal: {
      kind: "invalid_request",
      param: `${param}.content`,
      message: `Invalid '${param}.content': a string or an array of text parts is expected.`,
    },
  };
}

function thinkingOf(body: ChatBody): boolean | undefined {
  if (body.thinking !== null && body.thinking !== undefined) return body.thinking.type === "enabled";
  // Whoever names an effort wants thinking, unless the effort is none.
  if (body.reasoning_effort !== null && body.reasoning_effort !== undefined)
    return body.reasoning_effort !== "none";
  return undefined;
}

function stopsOf(stop: ChatBody["stop"]): readonly string[] {
  if (stop === null || stop === undefined) return [];
  return (typeof stop === "string" ? [stop] : stop).filter((text) => text !== "");
}

export function parseChat(bytes: Uint8Array): ParsedChat {
  let raw: unknown;
  try {
    raw = JSON.parse(decoder.decode(bytes));
  } catch {
    return invalid("The body is not valid JSON in UTF-8.", null);
  }
  const parsed = ChatBody.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const param = printPath(issue?.path ?? []);
    const what = issue?.message ?? "Invalid input";
    return invalid(param === null ? `${what}.` : `Invalid '${param}': ${what}.`, param);
  }
  const body = parsed.data;
  const refusal = firstUnsupported(body);
  if (refusal !== undefined) return { ok: false, refusal };
  const messages: ChatMessage[] = [];
  for (const [at, raw] of body.messages.entries()) {
    const read = readMessage(raw, at);
    if ("refusal" in read) return { ok: false, refusal: read.refusal };
    messages.push(read.message);
  }
  return {
    ok: true,
    chat: {
      model: body.model,
      stream: body.stream ?? false,
      includeUsage: body.stream_options?.include_usage ?? false,
      messages,
      thinking: thinkingOf(body),
      outputAsked: body.max_completion_tokens ?? body.max_tokens ?? undefined,
      sampling: {
        temperature: body.temperature ?? 1,
        topP: body.top_p ?? 1,
        ...(body.seed === null || body.seed === undefined ? {} : { seed: body.seed }),
      },
      stops: stopsOf(body.stop),
    },
  };
}
