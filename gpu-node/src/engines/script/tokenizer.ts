/**
 * The script engine's tokenizer: one token per byte, a few marks, and numbered words ("7 " is one token), so a test can
 * read positions off the text. Reversible, and no text becomes a mark. Pure.
 */
import type { ChatPrompt, Token, ToolCall } from "../engine.ts";

export const MARK = {
  begin: 256,
  end: 257,
  user: 258,
  assistant: 259,
  thinkOpen: 260,
  thinkClose: 261,
  callsBegin: 262,
  callsEnd: 263,
  callBegin: 264,
  callEnd: 265,
  sep: 266,
  result: 267,
} as const;
/** Every id is below this. */
export const VOCABULARY_TOKENS = 1_001_000;
export const FIRST_WORD = 1_000;
export const WORDS_MAX = 1_000_000;

const NO_BYTES = new Uint8Array();

export function encodeChat({ messages, thinking, tools = [], prefix }: ChatPrompt): readonly number[] {
  const tokens: number[] = [MARK.begin];
  const add = (text: string): void => {
    for (const byte of encodeText(text)) tokens.push(byte);
  };
  const system = messages.filter(({ role }) => role === "system").map(({ content }) => content);
  add([...system, ...tools.map((tool) => JSON.stringify(tool))].join("\n\n"));
  for (const { role, content, toolCalls } of messages) {
    if (role === "user" || role === "tool") {
      tokens.push(role === "user" ? MARK.user : MARK.result);
      add(content);
    } else if (role === "assistant") {
      tokens.push(MARK.assistant, MARK.thinkClose);
      add(content.slice(content.lastIndexOf("</think>") < 0 ? 0 : content.lastIndexOf("</think>") + 8));
      if (toolCalls !== undefined) tokens.push(...encodeCalls(toolCalls));
      tokens.push(MARK.end);
    }
  }
  tokens.push(MARK.assistant, thinking ? MARK.thinkOpen : MARK.thinkClose);
  if (prefix !== undefined) {
    if (thinking) add(prefix.reasoning);
    if (thinking && prefix.content !== "") tokens.push(MARK.thinkClose);
    add(prefix.content);
  }
  return tokens;
}

export function encodeText(text: string): readonly number[] {
  return [...Buffer.from(text, "utf8")];
}

/** Calls of tools in V3.1's form. */
export function encodeCalls(calls: readonly ToolCall[]): readonly number[] {
  return [
    MARK.callsBegin,
    ...calls.flatMap((call) => [
      MARK.callBegin,
      ...encodeText(call.name),
      MARK.sep,
      ...encodeText(call.arguments),
      MARK.callEnd,
    ]),
    MARK.callsEnd,
  ];
}

export function decodeToken(id: number): Token {
  if (id < 256) return { id, bytes: Uint8Array.of(id) };
  if (id >= FIRST_WORD) return { id, bytes: Buffer.from(`${id - FIRST_WORD} `, "utf8") };
  return { id, bytes: NO_BYTES };
}

/** What the last turn of a user or a tool says, and whether the answer begins with thinking. */
export function readPrompt(prompt: readonly number[]): { readonly text: string; readonly thinking: boolean } {
  const start = Math.max(prompt.lastIndexOf(MARK.user), prompt.lastIndexOf(MARK.result)) + 1;
  const end = prompt.indexOf(MARK.assistant, start);
  const bytes = prompt.slice(start, end < 0 ? prompt.length : end).filter((id) => id < 256);
  const thinking = prompt.lastIndexOf(MARK.thinkOpen) > prompt.lastIndexOf(MARK.thinkClose);
  return { text: Buffer.from(bytes).toString("utf8"), thinking };
}
