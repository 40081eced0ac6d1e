/**
 * A chat's messages as engines take them: text parts joined, developers as the system, calls and results of tools in their
 * places, and an answer that is given up to somewhere. Pure.
 */
import { isTooDeep } from "@sluice/protocol/depth";
import { z } from "zod";
import type { ChatMessage, ChatPrompt, ToolCall } from "../engines/engine.ts";
import { invalidField, unsupported, type Refused } from "./refuse.ts";

const TOOL_CALLS_MAX = 128;

const Part = z.looseObject({ type: z.string(), text: z.string().nullish() });

const PastCall = z.object({
  id: z.string().nullish(),
  type: z.string().nullish(),
  function: z.object({ name: z.string().min(1).max(128), arguments: z.string() }),
});

export const Message = z.object({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([z.string(), z.array(Part)]).nullish(),
  reasoning_content: z.string().nullish(),
  tool_calls: z.array(PastCall).max(TOOL_CALLS_MAX).nullish(),
  tool_call_id: z.string().nullish(),
  prefix: z.boolean().nullish(),
});
export type Message = z.infer<typeof Message>;

export type ReadMessages =
  | {
      readonly ok: true;
      readonly messages: readonly ChatMessage[];
      readonly prefix: ChatPrompt["prefix"];
      /** The first place that speaks of tools, as a field; undefined where none does. */
      readonly toolsAt: string | undefined;
    }
  | Refused;

export function readMessages(raws: readonly Message[]): ReadMessages {
  const messages: ChatMessage[] = [];
  let prefix: ChatPrompt["prefix"];
  let toolsAt: string | undefined;
  /** Ids of the calls that are to be answered, in order; results are put in that order. */
  let asked: readonly (string | undefined)[] = [];
  let answers: (readonly [at: number, message: ChatMessage])[] = [];
  const settle = (): void => {
    for (const [, message] of answers.toSorted(([a], [b]) => a - b)) messages.push(message);
    answers = [];
  };
  for (const [at, raw] of raws.entries()) {
    const param = `messages[${at}]`;
    if (raw.role === "function") return unsupported(`${param}.role`, "the role 'function'");
    const text = textOf(raw, param);
    if (!text.ok) return text;
    if (raw.role === "tool") {
      toolsAt ??= `${param}.role`;
      if (asked.length === 0)
        return invalidField(param, "a tool's message has to follow an assistant's message with tool_calls");
      const place = placeOf(asked, raw.tool_call_id ?? undefined, answers.length);
      if (place < 0)
        return invalidField(`${param}.tool_call_id`, "no call of the message before has this id");
      answers.push([place, { role: "tool", content: text.content }]);
      continue;
    }
    settle();
    asked = [];
    if (raw.role !== "assistant") {
      if (raw.prefix === true)
        return invalidField(`${param}.prefix`, "only an assistant's message can be continued");
      messages.push({ role: raw.role === "developer" ? "system" : raw.role, content: text.content });
      continue;
    }
    const calls = raw.tool_calls ?? [];
    if (raw.prefix === true) {
      if (at !== raws.length - 1)
        return invalidField(`${param}.prefix`, "only the last message can be continued");
      if (calls.length > 0)
        return invalidField(`${param}.prefix`, "a message with tool_calls cannot be continued");
      prefix = { reasoning: raw.reasoning_content ?? "", content: text.content };
      continue;
    }
    const read = callsOf(calls, param);
    if (!read.ok) return read;
    if (calls.length > 0) {
      toolsAt ??= `${param}.tool_calls`;
      asked = calls.map(({ id }) => id ?? undefined);
    }
    messages.push({
      role: "assistant",
      content: text.content,
      ...(raw.reasoning_content ? { reasoning: raw.reasoning_content } : {}),
      ...(calls.length > 0 ? { toolCalls: read.calls } : {}),
    });
  }
  settle();
  return { ok: true, messages, prefix, toolsAt };
}

/** By id where there is one; otherwise in the order they come. */
function placeOf(asked: readonly (string | undefined)[], id: string | undefined, count: number): number {
  if (id === undefined) return count < asked.length ? count : -1;
  return asked.indexOf(id);
}

function textOf(
  { role, content }: Message,
  param: string,
): { readonly ok: true; readonly content: string } | Refused {
  if (typeof content === "string") return { ok: true, content };
  if (Array.isArray(content)) {
    const odd = content.findIndex((part) => part.type !== "text" || typeof part.text !== "string");
    if (odd >= 0) return unsupported(`${param}.content[${odd}].type`, "content other than text");
    return { ok: true, content: content.map((part) => part.text ?? "").join("") };
  }
  // Assistants whose turn was all thinking or all tool calls say null; a question has to be one.
  if (role === "assistant") return { ok: true, content: "" };
  return invalidField(`${param}.content`, "a string or an array of text parts is expected");
}

function callsOf(
  calls: NonNullable<Message["tool_calls"]>,
  param: string,
): { readonly ok: true; readonly calls: readonly ToolCall[] } | Refused {
  for (const [at, { function: called }] of calls.entries()) {
    const field = `${param}.tool_calls[${at}].function.arguments`;
    try {
      const value: unknown = JSON.parse(called.arguments === "" ? "{}" : called.arguments);
      if (typeof value !== "object" || value === null || Array.isArray(value))
        return invalidField(field, "a JSON object is expected");
      if (isTooDeep(value)) return invalidField(field, "it is nested too deep");
    } catch {
      return invalidField(field, "it is not valid JSON");
    }
  }
  return {
    ok: true,
    calls: calls.map(({ function: called }) => ({
      name: called.name,
      arguments: called.arguments === "" ? "{}" : called.arguments,
    })),
  };
}
