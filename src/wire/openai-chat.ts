/**
 * OpenAI's chat completions, inbound: bytes in, one Call out, or a fault that names the field. What the edge itself
 * reads is checked exactly; of the rest only the types of well-known scalars, so that plain mistakes end here and
 * never cost a hold. Engines judge everything else. Unknown fields pass.
 * Shapes: OpenAI's chat completions reference, and DeepSeek's additions (`thinking`, `user_id`).
 */
import { isTooDeep, JSON_DEPTH_MAX } from "@sluice/protocol/depth";
import { z } from "zod";
import { FaultError, type Fault } from "../core/fault.ts";
import type { ParsedCall } from "./call.ts";
import { needsOf } from "./needs.ts";

const MESSAGES_MAX = 4_096;
const STOPS_MAX = 16;
/** More answers to one call are a batch; nodes say the same. */
const CHOICES_MAX = 16;
/** Larger than any context: what is asked for beyond it is cut to the model's own limits later. */
const TOKENS_MAX = 10_000_000;

const Message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() })), z.null()]).optional(),
});

const tokenCount = z.int().min(1).max(TOKENS_MAX);
const penalty = z.number().min(-2).max(2);

/** What every dialect of OpenAI's has. Every optional field may be null, as some clients send what they have not set. */
export const sharedFields = {
  model: z.string().min(1).max(128),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: tokenCount.nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  frequency_penalty: penalty.nullish(),
  presence_penalty: penalty.nullish(),
  seed: z.int().nullish(),
  n: z.int().min(1).max(CHOICES_MAX).nullish(),
  stop: z
    .union([z.string(), z.array(z.string()).max(STOPS_MAX)], {
      error: `a text, or a list of at most ${STOPS_MAX} texts`,
    })
    .nullish(),
  user: z.string().nullish(),
  user_id: z
    .string()
    .regex(/^[\w-]{1,512}$/, { error: "must be 1 to 512 letters, digits, - or _" })
    .nullish(),
};

const besideMessages = {
  ...sharedFields,
  max_completion_tokens: tokenCount.nullish(),
  thinking: z.looseObject({ type: z.enum(["enabled", "disabled"]) }).nullish(),
  reasoning_effort: z.string().nullish(),
};
const Beside = z.looseObject(besideMessages);
const ChatBody = z.looseObject({ ...besideMessages, messages: z.array(Message).min(1).max(MESSAGES_MAX) });

const ROLES: ReadonlySet<unknown> = new Set(Message.shape.role.options);

/**
 * Whether the schema would pass these messages. Asked first, because it is quick and mostly so: a schema's look at a long
 * conversation costs more than everything else that is done with it here. What is wrong, and where, the schema says.
 */
function areMessages(messages: unknown): messages is readonly unknown[] {
  return (
    Array.isArray(messages) &&
    messages.length > 0 &&
    messages.length <= MESSAGES_MAX &&
    messages.every(
      (message) => isObject(message) && ROLES.has(message["role"]) && isContent(message["content"]),
    )
  );
}

function isContent(content: unknown): boolean {
  if (typeof content === "string" || content === null || content === undefined) return true;
  return (
    Array.isArray(content) && content.every((part) => isObject(part) && typeof part["type"] === "string")
  );
}

function isObject(value: unknown): value is { readonly [field: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

export function parseJson(body: Uint8Array): unknown {
  let text: string;
  try {
    text = decoder.decode(body);
  } catch {
    throw invalid("The body is not UTF-8.", null);
  }
  if (text.trim() === "") throw invalid("The body is empty; it has to be a JSON object.", null);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // The engine's own words say where, and quote at most a few characters of the client's own text back to it.
    const where = cause instanceof SyntaxError ? ` (${cause.message.slice(0, 120)})` : "";
    throw invalid(`The body is not valid JSON${where}.`, null);
  }
  if (isTooDeep(value)) throw invalid(`The body is nested more than ${JSON_DEPTH_MAX} levels deep.`, null);
  return value;
}

function invalid(message: string, param: string | null): FaultError {
  return new FaultError({ kind: "invalid_request", message, param });
}

/** A path as OpenAI prints it: `messages[0].role`. */
function printPath(path: readonly PropertyKey[]): string | null {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? String(step) : `.${String(step)}`;
  }
  return text === "" ? null : text;
}

/** The fault for the first thing zod found wrong, with the field's path in it. */
export function faultOf(error: z.ZodError): Fault {
  const issue = error.issues[0];
  const param = printPath(issue?.path ?? []);
  const what = issue?.message ?? "Invalid input";
  const message = param === null ? `${what}.` : `Invalid '${param}': ${what}.`;
  return { kind: "invalid_request", message, param };
}

/** Throws a FaultError `invalid_request` that names the field. */
export function parseOpenAiChat(body: Uint8Array): ParsedCall {
  const raw = parseJson(body);
  const messages = isObject(raw) ? raw["messages"] : undefined;
  const parsed = (areMessages(messages) ? Beside : ChatBody).safeParse(raw);
  if (!parsed.success) throw new FaultError(faultOf(parsed.error));
  const chat = parsed.data;
  return {
    dialect: "openai.chat",
    modelAs: chat.model,
    stream: chat.stream ?? false,
    outputAsked: chat.max_completion_tokens ?? chat.max_tokens ?? null,
    choices: chat.n ?? 1,
    needs: needsOf(raw),
    messages: Array.isArray(messages) ? messages.length : 0,
    userId: chat.user_id ?? undefined,
    deterministic: chat.temperature === 0 || (chat.seed !== null && chat.seed !== undefined),
    includeUsage: chat.stream_options?.include_usage ?? false,
    body,
    // As it was sent, not as the schema copies it: a node reads the same.
    prompt: raw as ParsedCall["prompt"],
  };
}
