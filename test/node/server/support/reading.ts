/** Reads answers of a node as an edge does: events with their notes, text put together from deltas. */
import { notesOf, type Note } from "@sluice/protocol/events";
import { z } from "zod";

const Chunk = z.object({
  choices: z.array(
    z.object({
      delta: z.object({
        role: z.string().optional(),
        content: z.string().nullish(),
        reasoning_content: z.string().nullish(),
      }),
      finish_reason: z.string().nullable(),
    }),
  ),
  usage: z.record(z.string(), z.unknown()).nullish(),
});

export type SeenEvent = {
  readonly note: Note | undefined;
  readonly data: string | undefined;
  readonly raw: string;
};

export type Seen = {
  readonly events: readonly SeenEvent[];
  readonly notes: readonly Note[];
  readonly content: string;
  readonly reasoning: string;
  readonly finish: string | undefined;
  readonly done: boolean;
  /** Ids of all positions, in order. */
  readonly ids: readonly number[];
  readonly to: number;
};

export function readEvents(text: string): Seen {
  const events = text
    .split("\n\n")
    .slice(0, -1)
    .map((raw) => ({
      raw,
      note: notesOf(`${raw}\n`)[0],
      data: raw
        .split("\n")
        .find((line) => line.startsWith("data: "))
        ?.slice("data: ".length),
    }));
  let content = "";
  let reasoning = "";
  let finish: string | undefined;
  for (const { data } of events) {
    if (data === undefined || data === "[DONE]") continue;
    const choice = Chunk.parse(JSON.parse(data)).choices[0];
    content += choice?.delta.content ?? "";
    reasoning += choice?.delta.reasoning_content ?? "";
    finish = choice?.finish_reason ?? finish;
  }
  const notes = events.flatMap(({ note }) => (note === undefined ? [] : [note]));
  return {
    events,
    notes,
    content,
    reasoning,
    finish,
    done: events.some(({ data }) => data === "[DONE]"),
    ids: notes.flatMap((note) => note.ids ?? []),
    to: Math.max(0, ...notes.map((note) => note.to ?? 0)),
  };
}

/** Reads whole events until `enough` says so; gives back all that was read. */
export async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  enough: (seen: string) => boolean,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  while (!enough(text)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

export function readerOf(response: Response): ReadableStreamDefaultReader<Uint8Array> {
  if (response.body === null) throw new Error("an answer without a body");
  return response.body.getReader();
}

/** A chat whose last message tells the script engine what to do. */
export function scripted(directive: object, more: object = {}): object {
  const content = `Please. ${JSON.stringify({ script: directive })}`;
  return { model: "deepseek-chat", messages: [{ role: "user", content }], ...more };
}
