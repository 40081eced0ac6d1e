/**
 * A tool section as text: the special tokens that give it its form become marks that no text contains, whoever wrote it, so that
 * what stands inside arguments can never be taken for one. A mark is two high surrogates: in text decoded from bytes each is followed by
 * its low one, and none is without it, so two of them never meet there, nor at the seams of pieces. (A noncharacter would not do:
 * UTF-8 has them all.) Pure.
 */
import type { ToolMarks } from "../engines/engine.ts";

export const CALL_BEGIN = "\ud800\ud800";
export const SEP = "\ud801\ud801";
export const CALL_END = "\ud802\ud802";
export const CALLS_END = "\ud803\ud803";
export const DSML = "\ud804\ud804";
/** Of each mark, in code units. */
export const MARK_UNITS = 2;

/** Any of them, where it has no business. Not by code points: a mark is none. */
export const MARKS = /([\ud800-\ud804])\1/g;

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
