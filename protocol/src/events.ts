/**
 * Sluice's own data inside an answer. A node answers every call it takes, stream or not, with server-sent events; what
 * the edge has to know about an event stands in a comment line of that very event, where clients ignore it:
 *
 *     : sluice accepted=1 prompt=12 queued=3          tokenised and queued: an event of its own, commits nothing
 *     : sluice prompt=12 cached=8 from=0 to=1 ids=301 the first event with data says what will be billed for the
 *                                                     prompt, and (weights=) whose token ids these are
 *     data: {"id":"chatcmpl-...", ...}
 *
 *     : sluice to=3 ids=22,9                          every later one how far the answer has come
 *     data: {...}
 *
 *     : sluice to=34 reasoning=20 ended=stop          the last one how it ended, and how much of it was thinking
 *     data: [DONE]
 *
 * In a second of silence it says `: working at=34`: it lives, and has made so many positions, told or not.
 *
 * Events that come together or not at all (the end of an answer: what was held back, why it ended, usage, `[DONE]`) end in
 * one more comment line, `: more`, all but the last of them. To a client each is an event like any other; the edge cuts
 * an answer behind none of them, so no node can die between them and the next one tell a part of it again.
 *
 * A non-stream answer is one such event whose data line is the whole JSON body; the edge forwards the bytes after
 * `data: `. An attempt that fails says so in an event without data (`: sluice to=20 ended=engine_died`) and closes. A
 * stream that ends without `ended=` was cut.
 */
import { Ending } from "./receipt.ts";

const PREFIX = ": sluice ";

/** The last line of an event that comes together with the next. */
export const MORE = ": more\n";

export type Note = {
  readonly accepted?: true;
  readonly queued?: number;
  readonly prompt?: number;
  readonly cached?: number;
  readonly from?: number;
  /** Positions handed over once this event has left. */
  readonly to?: number;
  /** With the end of a stream: how many of its positions were thoughts. */
  readonly reasoning?: number;
  /** Token ids of the positions this event adds. */
  readonly ids?: readonly number[];
  readonly ended?: Ending;
  /** With `ended` of an attempt that made nothing: its engine is well and does not take what is asked. */
  readonly refused?: true;
  /** With `ended=no_room`: when there may be room. */
  readonly retryAfterMs?: number;
  /** In the first event with data: what its token ids mean anything under. */
  readonly weights?: string;
};

/** The comment line for a note, newline included. */
export function printNote(note: Note): string {
  let line = ": sluice";
  if (note.accepted) line += " accepted=1";
  if (note.queued !== undefined) line += ` queued=${note.queued}`;
  if (note.prompt !== undefined) line += ` prompt=${note.prompt}`;
  if (note.cached !== undefined) line += ` cached=${note.cached}`;
  if (note.from !== undefined) line += ` from=${note.from}`;
  if (note.to !== undefined) line += ` to=${note.to}`;
  if (note.reasoning !== undefined) line += ` reasoning=${note.reasoning}`;
  if (note.ids !== undefined && note.ids.length > 0) line += ` ids=${note.ids.join(",")}`;
  if (note.weights !== undefined) line += ` weights=${note.weights}`;
  if (note.ended !== undefined) line += ` ended=${note.ended}`;
  if (note.refused) line += " refused=1";
  if (note.retryAfterMs !== undefined) line += ` retry=${note.retryAfterMs}`;
  return `${line}\n`;
}

function count(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

const ENDINGS: ReadonlySet<string> = new Set(Ending.options);

type Written = { -readonly [Field in keyof Note]: Note[Field] };

/** What cannot be read is left out. */
function readField(note: Written, name: string, text: string): void {
  switch (name) {
    case "accepted":
      if (text === "1") note.accepted = true;
      return;
    case "refused":
      if (text === "1") note.refused = true;
      return;
    case "retry": {
      const value = count(text);
      if (value !== undefined) note.retryAfterMs = value;
      return;
    }
    case "queued":
    case "prompt":
    case "cached":
    case "from":
    case "to":
    case "reasoning": {
      const value = count(text);
      if (value !== undefined) note[name] = value;
      return;
    }
    case "ids":
      if (/^\d{1,9}(,\d{1,9})*$/.test(text)) note.ids = text.split(",").map(Number);
      return;
    case "weights":
      if (/^[\w:.-]{1,128}$/.test(text)) note.weights = text;
      return;
    case "ended":
      if (ENDINGS.has(text)) note.ended = text as Ending;
  }
}

/** The note in one line of an event; undefined where the line is not one. Fields it does not know are skipped. */
export function parseNote(line: string): Note | undefined {
  if (!line.startsWith(PREFIX)) return undefined;
  const note: Written = {};
  for (const word of line.slice(PREFIX.length).trimEnd().split(" ")) {
    const equals = word.indexOf("=");
    if (equals > 0) readField(note, word.slice(0, equals), word.slice(equals + 1));
  }
  return note;
}

/** Every note of a run of whole events, in order. */
export function notesOf(events: string): Note[] {
  const notes: Note[] = [];
  for (let at = events.indexOf(PREFIX); at >= 0; at = events.indexOf(PREFIX, at + 1)) {
    // Only a line of its own is a note: the same characters inside a data line are a client's text.
    if (at > 0 && events.charCodeAt(at - 1) !== 10) continue;
    const end = events.indexOf("\n", at);
    const note = parseNote(events.slice(at, end < 0 ? undefined : end));
    if (note !== undefined) notes.push(note);
  }
  return notes;
}

/** Written in every second of silence, so that a departed reader is noticed. */
export const KEEP_ALIVE = ": keep-alive\n\n";

const WORKING = ": working at=";

/**
 * A node's own word in a second of silence: it lives, and has made so many positions, whether or not there is text to
 * hand over. No note: it says nothing that is delivered or billed.
 */
export function printWorking(at: number): string {
  return `${WORKING}${at}\n\n`;
}

/** How far the newest of these comments says the node has come; undefined where there is none. */
export function workingAt(events: string): number | undefined {
  const start = events.lastIndexOf(WORKING);
  if (start < 0 || (start > 0 && events.charCodeAt(start - 1) !== 10)) return undefined;
  return count(events.slice(start + WORKING.length, events.indexOf("\n", start)));
}
