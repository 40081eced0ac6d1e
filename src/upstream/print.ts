/** An upstream's answer in this API's own shape: chunks, and the whole. Pure. Nothing of the upstream's face is in it. */
import { printUsage, type Counts, type ReplayFace } from "../wire/openai-replay.ts";

export type ToolCallPiece = {
  readonly index: number;
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly arguments: string;
};

/** What one event of the upstream's adds. */
export type Delta = {
  readonly reasoning?: string | undefined;
  readonly content?: string | undefined;
  readonly calls?: readonly ToolCallPiece[] | undefined;
};

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

function common(face: ReplayFace): object {
  const { id, createdS, model } = face;
  return { id, object: "chat.completion.chunk", created: createdS, model, system_fingerprint: null };
}

export function printDelta(face: ReplayFace, { reasoning, content, calls }: Delta, first: boolean): string {
  const delta = {
    ...(first ? { role: "assistant", content: content ?? (reasoning === undefined ? "" : null) } : {}),
    ...(content === undefined ? {} : { content }),
    ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
    ...(calls === undefined ? {} : { tool_calls: calls.map(printPiece) }),
  };
  return printChunk(face, delta, null);
}

function printPiece({ index, id, name, arguments: text }: ToolCallPiece): object {
  const begins = id === undefined ? {} : { id, type: "function" };
  return { index, ...begins, function: { ...(name === undefined ? {} : { name }), arguments: text } };
}

export function printFinish(face: ReplayFace, reason: FinishReason, first: boolean): string {
  return printChunk(face, first ? { role: "assistant", content: "" } : {}, reason);
}

function printChunk(face: ReplayFace, delta: object, reason: FinishReason | null): string {
  return JSON.stringify({
    ...common(face),
    choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }],
    ...(face.includeUsage ? { usage: null } : {}),
  });
}

export function printUsageChunk(face: ReplayFace, counts: Counts): string {
  return JSON.stringify({ ...common(face), choices: [], usage: printUsage(counts) });
}

/** What was said, piece by piece, as one answer. */
export function printWhole(
  face: ReplayFace,
  said: readonly Delta[],
  reason: FinishReason,
  counts: Counts,
): string {
  const reasonings = said.flatMap(({ reasoning }) => reasoning ?? []);
  const content = said.map(({ content = "" }) => content).join("");
  const calls = joinedCalls(said);
  const message = {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    ...(reasonings.length === 0 ? {} : { reasoning_content: reasonings.join("") }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    refusal: null,
  };
  return JSON.stringify({
    ...common(face),
    object: "chat.completion",
    choices: [{ index: 0, message, logprobs: null, finish_reason: reason }],
    usage: printUsage(counts),
  });
}

/** Tool calls come in pieces, each with its index; only the arguments grow. */
function joinedCalls(said: readonly Delta[]): object[] {
  const calls = new Map<number, { id: string; name: string; text: string }>();
  for (const piece of said.flatMap(({ calls = [] }) => calls)) {
    const call = calls.get(piece.index) ?? { id: "", name: "", text: "" };
    call.id ||= piece.id ?? "";
    call.name ||= piece.name ?? "";
    call.text += piece.arguments;
    calls.set(piece.index, call);
  }
  return [...calls.entries()]
    .toSorted(([a], [b]) => a - b)
    .map(([, { id, name, text }]) => ({ id, type: "function", function: { name, arguments: text } }));
}
