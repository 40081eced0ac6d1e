/**
 * The script engine's tokenizer: one token per byte, six marks, and numbered words ("7 " is one token), so a test can
 * read positions off the text. Reversible, and no text becomes a mark. Pure.
 */
import type { ChatPrompt, Token } from "../engine.ts";

export const MARK = {
  begin: 256,
  end: 257,
  user: 258,
  assistant: 259,
  thinkOpen: 260,
  thinkClose: 261,
} as const;
export const FIRST_WORD = 1_000;
export const WORDS_MAX = 1_000_000;

const NO_BYTES = new Uint8Array();

export function encodeChat({ messages, thinking }: ChatPrompt): readonly number[] {
  const tokens: number[] = [MARK.begin];
  const add = (text: string): void => {
    for (const byte of Buffer.from(text, "utf8")) tokens.push(byte);
  };
  add(
    messages
      .filter(({ role }) => role === "system")
      .map(({ content }) => content)
      .join("\n\n"),
  );
  for (const { role, content } of messages) {
    if (role === "user") {
      tokens.push(MARK.user);
      add(content);
    } else if (role === "assistant") {
      tokens.push(MARK.assistant, MARK.thinkClose);
      add(content.slice(content.lastIndexOf("</think>") < 0 ? 0 : content.lastIndexOf("</think>") + 8));
      tokens.push(MARK.end);
    }
  }
  tokens.push(MARK.assistant, thinking ? MARK.thinkOpen : MARK.thinkClose);
  return tokens;
}

export function decodeToken(id: number): Token {
  if (id < 256) return { id, bytes: Uint8Array.of(id) };
  if (id >= FIRST_WORD) return { id, bytes: Buffer.from(`${id - FIRST_WORD} `, "utf8") };
  return { id, bytes: NO_BYTES };
}

/** What the last user turn of a prompt says, and whether the answer begins with thinking. */
export function readPrompt(prompt: readonly number[]): { readonly text: string; readonly thinking: boolean } {
  const start = prompt.lastIndexOf(MARK.user) + 1;
  const end = prompt.indexOf(MARK.assistant, start);
  const bytes = prompt.slice(start, end < 0 ? prompt.length : end).filter((id) => id < 256);
  return { text: Buffer.from(bytes).toString("utf8"), thinking: prompt.at(-1) === MARK.thinkOpen };
}
