/**
 * Answers as OpenAI's clients read them: chunks of a stream, and the whole. Pure. Usage is told in OpenAI's words and in
 * DeepSeek's, whose clients read their own. Shapes: OpenAI's chat completions reference; DeepSeek's `reasoning_content`.
 */
import type { Channel } from "../answer/reduce.ts";

export type Face = {
  readonly id: string;
  readonly createdS: number;
  /** The model as the client asked for it. */
  readonly model: string;
  readonly fingerprint: string;
  /** With it every chunk has a `usage`, null in all but the last. */
  readonly includeUsage: boolean;
};

export type Usage = {
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
  readonly reasoning: number;
};

export type FinishReason = "stop" | "length";

export function printUsage({ prompt, cached, completion, reasoning }: Usage): object {
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
    prompt_cache_hit_tokens: cached,
    prompt_cache_miss_tokens: prompt - cached,
  };
}

function printChunk(face: Face, delta: object, finish: FinishReason | null): string {
  return JSON.stringify({
    id: face.id,
    object: "chat.completion.chunk",
    created: face.createdS,
    model: face.model,
    system_fingerprint: face.fingerprint,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...(face.includeUsage ? { usage: null } : {}),
  });
}

/** The first chunk: who speaks, and in which channel it begins. */
export function printRole(face: Face, thinking: boolean): string {
  const delta = thinking
    ? { role: "assistant", content: null, reasoning_content: "" }
    : { role: "assistant", content: "" };
  return printChunk(face, delta, null);
}

export function printDelta(face: Face, channel: Channel, text: string): string {
  return printChunk(face, channel === "reasoning" ? { reasoning_content: text } : { content: text }, null);
}

export function printFinish(face: Face, reason: FinishReason): string {
  return printChunk(face, {}, reason);
}

export function printUsageChunk(face: Face, usage: Usage): string {
  return JSON.stringify({
    id: face.id,
    object: "chat.completion.chunk",
    created: face.createdS,
    model: face.model,
    system_fingerprint: face.fingerprint,
    choices: [],
    usage: printUsage(usage),
  });
}

export const DONE = "[DONE]";

export type WholeText = { readonly reasoning: string | undefined; readonly content: string };

export function printWhole(face: Face, text: WholeText, reason: FinishReason, usage: Usage): string {
  const message = {
    role: "assistant",
    content: text.content,
    ...(text.reasoning === undefined ? {} : { reasoning_content: text.reasoning }),
    refusal: null,
  };
  return JSON.stringify({
    id: face.id,
    object: "chat.completion",
    created: face.createdS,
    model: face.model,
    system_fingerprint: face.fingerprint,
    choices: [{ index: 0, message, logprobs: null, finish_reason: reason }],
    usage: printUsage(usage),
  });
}
