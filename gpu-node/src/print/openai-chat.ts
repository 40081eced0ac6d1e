/**
 * Answers as OpenAI's clients of chat completions read them: chunks of a stream, and the whole. Pure. Shapes: OpenAI's
 * chat completions reference; DeepSeek's `reasoning_content`, in messages and in log probabilities.
 */
import type { Piece, Weighed } from "../answer/gather.ts";
import type { Delta } from "../answer/reduce.ts";
import {
  printUsage,
  tokenText,
  type Face,
  type FinishReason,
  type Print,
  type Usage,
  type WholeChoice,
} from "./face.ts";

type Choice = {
  readonly choice: number;
  readonly delta: object;
  readonly logprobs: object | null;
  readonly reason: FinishReason | null;
};

function printChunk(face: Face, { choice, delta, logprobs, reason }: Choice): string {
  return JSON.stringify({
    id: face.id,
    object: "chat.completion.chunk",
    created: face.createdS,
    model: face.model,
    system_fingerprint: face.fingerprint,
    choices: [{ index: choice, delta, logprobs, finish_reason: reason }],
    ...(face.includeUsage ? { usage: null } : {}),
  });
}

/** Who speaks, and in which channel it begins. */
function opening(face: Face, choice: number, thinking: boolean): string {
  const delta = thinking
    ? { role: "assistant", content: null, reasoning_content: "" }
    : { role: "assistant", content: "" };
  return printChunk(face, { choice, delta, logprobs: null, reason: null });
}

function piece(face: Face, { choice, delta, weighed }: Piece): string {
  const logprobs = printLogprobs(face, delta.channel, weighed);
  return printChunk(face, { choice, delta: printDelta(face, choice, delta), logprobs, reason: null });
}

function printDelta(face: Face, choice: number, delta: Delta): object {
  switch (delta.channel) {
    case "reasoning":
      return { reasoning_content: delta.text };
    case "content":
      return { content: delta.text };
    case "tool": {
      const { call: index, name, text } = delta;
      const begins = name === undefined ? {} : { id: callId(face, choice, index), type: "function" };
      const called = name === undefined ? {} : { name };
      return { tool_calls: [{ index, ...begins, function: { ...called, arguments: text } }] };
    }
  }
}

/** The same on whichever node the call is told. */
function callId(face: Face, choice: number, index: number): string {
  const request = face.id.slice(face.id.indexOf("-") + 1);
  return `call_${request}_${choice === 0 ? "" : `${choice}_`}${index}`;
}

function printLogprobs(face: Face, channel: Delta["channel"], weighed: readonly Weighed[]): object | null {
  if (face.logprobs === undefined || channel === "tool" || weighed.length === 0) return null;
  const list = printWeighed(face.logprobs, weighed);
  return channel === "reasoning"
    ? { content: null, reasoning_content: list, refusal: null }
    : { content: list, refusal: null };
}

function printWeighed(count: number, weighed: readonly Weighed[]): readonly object[] {
  return weighed.map(({ bytes, logprobs }) => ({
    ...printToken(bytes, logprobs.own),
    top_logprobs: logprobs.top.slice(0, count).map(([token, logprob]) => printToken(token.bytes, logprob)),
  }));
}

function printToken(bytes: Uint8Array, logprob: number): object {
  return { token: tokenText(bytes), logprob, bytes: [...bytes] };
}

function usageChunk(face: Face, usage: Usage): string {
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

function printChoice(face: Face, whole: WholeChoice, index: number): object {
  const { reasoning, content, calls, weighed } = whole;
  const message = {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0
      ? {}
      : {
          tool_calls: calls.map((call, at) => ({
            id: callId(face, index, at),
            type: "function",
            function: { name: call.name, arguments: call.arguments },
          })),
        }),
    refusal: null,
  };
  return { index, message, logprobs: wholeLogprobs(face, weighed), finish_reason: whole.reason };
}

function wholeLogprobs(face: Face, weighed: WholeChoice["weighed"]): object | null {
  if (face.logprobs === undefined) return null;
  const thought =
    weighed.reasoning.length === 0
      ? {}
      : { reasoning_content: printWeighed(face.logprobs, weighed.reasoning) };
  return { content: printWeighed(face.logprobs, weighed.content), ...thought, refusal: null };
}

export const openAiChat: Print = {
  opening,
  piece,
  finish: (face, { choice, reason, tail, weighed }) =>
    printChunk(face, {
      choice,
      delta: tail === undefined ? {} : printDelta(face, choice, tail),
      logprobs: tail === undefined ? null : printLogprobs(face, tail.channel, weighed),
      reason,
    }),
  usage: usageChunk,
  whole: (face, choices, usage) =>
    JSON.stringify({
      id: face.id,
      object: "chat.completion",
      created: face.createdS,
      model: face.model,
      system_fingerprint: face.fingerprint,
      choices: choices.map((choice, index) => printChoice(face, choice, index)),
      usage: printUsage(usage),
    }),
};
