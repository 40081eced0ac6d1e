/**
 * What a client has been sent so far, as token ids: what the next node needs to go on from exactly there. Pure.
 * The ids stand in the notes of the events that were forwarded; they are read only when they are needed, or when so
 * much text has piled up that the ids alone are smaller.
 */
import { notesOf } from "@sluice/protocol/events";

/** Characters of unread events at most. */
const UNREAD_CHARS_MAX = 64 * 1024;

export type Delivered = {
  /** Whole events that have been written to the client. */
  readonly add: (events: string) => void;
  /** One id per position up to `to`; undefined where they do not add up: then nobody can go on from here. */
  tokens(to: number): readonly number[] | undefined;
};

export function startDelivered(): Delivered {
  const ids: number[] = [];
  let unread: string[] = [];
  let unreadChars = 0;

  const read = (): void => {
    for (const note of notesOf(unread.join(""))) for (const id of note.ids ?? []) ids.push(id);
    unread = [];
    unreadChars = 0;
  };

  return {
    add(events) {
      unread.push(events);
      unreadChars += events.length;
      if (unreadChars > UNREAD_CHARS_MAX) read();
    },
    tokens(to) {
      read();
      return ids.length === to ? [...ids] : undefined;
    },
  };
}
