/**
 * A tool section as text: the special tokens that give it its form become noncharacters of Unicode, which no text contains,
 * so that what a model writes inside its arguments can never be taken for a mark. Pure.
 */
import type { ToolMarks } from "../engines/engine.ts";

export const CALL_BEGIN = "\u{fdd0}";
export const SEP = "\u{fdd1}";
export const CALL_END = "\u{fdd2}";
export const CALLS_END = "\u{fdd3}";
export const DSML = "\u{fdd4}";

/** Any of them, where it has no business. */
export const MARKS = /[\u{fdd0}-\u{fdd4}]/gu;

/** Whether this token opens a section. */
export function opensSection(marks: ToolMarks, id: number): boolean {
  return id === (marks.format === "v3.2" ? marks.dsml : marks.callsBegin);
}

/** What a token of a section is as text, where it is a mark. */
export function markOf(marks: ToolMarks, id: number): string | undefined {
  if (marks.format === "v3.2") return id === marks.dsml ? DSML : undefined;
  switch (id) {
    case marks.callBegin:
      return CALL_BEGIN;
    case marks.sep:
      return SEP;
    case marks.callEnd:
      return CALL_END;
    case marks.callsEnd:
      return CALLS_END;
    default:
      return undefined;
  }
}
