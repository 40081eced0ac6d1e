/**
 * Server-sent events as this node writes them: a data line, and above it, for an edge, the note of what the event adds.
 * Pure. A client of the node alone gets the data lines and nothing else.
 *
 * Events that must come together or not at all (the end of an answer: what was held back, why it ended, usage, `[DONE]`)
 * are parted by blank lines in CRLF. Readers of server-sent events take either; an edge cuts at blank lines in LF alone, so
 * no node can die between them and the next one tell a part of it again.
 */
import { printNote, type Note } from "@sluice/protocol/events";

const LF = "\n\n";
const CRLF = "\r\n\r\n";

/** `more`: the next event comes together with this one. */
export type PrintEvent = (note: Note, data?: string, more?: "more") => string;

/** For an edge. An event without data is a comment to everybody else. */
export function withNote(note: Note, data?: string, more?: "more"): string {
  return data === undefined
    ? `${printNote(note)}\n`
    : `${printNote(note)}data: ${data}${more === undefined ? LF : CRLF}`;
}

/** For a client of this node alone. */
export function withoutNote(_note: Note, data?: string): string {
  return data === undefined ? "" : `data: ${data}\n\n`;
}
