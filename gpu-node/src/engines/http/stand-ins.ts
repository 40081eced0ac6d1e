/**
 * Stand-ins for the tokens a server does not show: a piece of text, the marks around thinking and calls of tools, the end. So
 * what such a server says in OpenAI's fields is read by the same code that reads a model's own tokens. One reader per answer.
 */
import type { Token, ToolMarks } from "../engine.ts";
import type { CallPiece, TextPart } from "./openai.ts";

export const TEXT = 0;
export const THINK = { open: 1, close: 2 } as const;
export const END = 3;
export const TOOLS: ToolMarks & { readonly format: "v3.1" } = {
  format: "v3.1",
  callsBegin: 4,
  callsEnd: 5,
  callBegin: 6,
  callEnd: 7,
  sep: 8,
};
export const STAND_INS = 9;

const NO_BYTES = new Uint8Array();
const mark = (id: number): Token => ({ id, bytes: NO_BYTES });
const text = (piece: string): readonly Token[] =>
  piece === "" ? [] : [{ id: TEXT, bytes: Buffer.from(piece) }];

export class StandIns {
  #thinking = false;
  /** The call that is being told; undefined before the first. */
  #call: number | undefined;

  read({ reasoning, content, calls, end }: TextPart): readonly Token[] {
    const tokens = [
      ...this.#thoughts(reasoning),
      ...this.#said(content),
      ...calls.flatMap((call) => this.#called(call)),
    ];
    if (end !== "stop") return tokens;
    const closing = this.#call === undefined ? [] : [mark(TOOLS.callEnd), mark(TOOLS.callsEnd)];
    return [...tokens, ...closing, mark(END)];
  }

  #thoughts(reasoning: string): readonly Token[] {
    if (reasoning === "") return [];
    const opening = this.#thinking ? [] : [mark(THINK.open)];
    this.#thinking = true;
    return [...opening, ...text(reasoning)];
  }

  #said(content: string): readonly Token[] {
    // Behind calls nothing is said any more: in a section of tools it would be taken for a part of them.
    if (content === "" || this.#call !== undefined) return [];
    const closing = this.#thinking ? [mark(THINK.close)] : [];
    this.#thinking = false;
    return [...closing, ...text(content)];
  }

  #called({ index, name, arguments: args }: CallPiece): readonly Token[] {
    if (index === this.#call) return text(args);
    const before = this.#call === undefined ? [mark(TOOLS.callsBegin)] : [mark(TOOLS.callEnd)];
    this.#call = index;
    this.#thinking = false;
    return [...before, mark(TOOLS.callBegin), ...text(name), mark(TOOLS.sep), ...text(args)];
  }
}
