/**
 * Server-sent events as this node writes them: a data line, and above it, for an edge, the note of what the event adds.
 * Pure. A client of the node alone gets the data lines and nothing else.
 */
import { MORE, printNote, type Note } from "@sluice/protocol/events";

/** `more`: the next event comes together with this one. */
export type PrintEvent = (note: Note, data?: string, more?: "more") => string;

/** For an edge. An event without data is a comment to everybody else. */
export function withNote(note: Note, data?: string, more?: "more"): string {
  if (data === undefined) return `${printNote(note)}\n`;
  return `${printNote(note)}data: ${data}\n${more === undefined ? "" : MORE}\n`;
}

/** For a client of this node alone. */
export function withoutNote(_note: Note, data?: string): string {
  return data === undefined ? "" : `data: ${data}\n\n`;
}
