/**
 * A client that believes nothing: it reads a stream's bytes, takes whole events only, and writes down what they say.
 * It knows the public dialect and nothing of Sluice's notes; those are comments, which a client ignores. Pure.
 */
import { z } from "zod";

const Chunk = z.object({
  choices: z
    .array(
      z.object({
        delta: z
          .object({ content: z.string().nullish(), reasoning_content: z.string().nullish() })
          .optional(),
        finish_reason: z.string().nullish(),
      }),
    )
    .optional(),
  usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int() }).nullish(),
  error: z.looseObject({}).optional(),
});

export type Heard = {
  readonly content: string;
  readonly reasoning: string;
  readonly finish: string | undefined;
  readonly usage: { readonly prompt: number; readonly completion: number } | undefined;
  /** An error event came. */
  readonly failed: boolean;
  /** `[DONE]` came. */
  readonly done: boolean;
};

const NOTHING: Heard = {
  content: "",
  reasoning: "",
  finish: undefined,
  usage: undefined,
  failed: false,
  done: false,
};

/** What the whole events of a stream say; a half event at its end was not received. */
export function hear(bytes: string): Heard {
  // Lines end in LF or CRLF, as the standard has it.
  const text = bytes.replaceAll("\r\n", "\n");
  const end = text.lastIndexOf("\n\n");
  if (end < 0) return NOTHING;
  let heard = NOTHING;
  for (const event of text.slice(0, end).split("\n\n")) {
    const data = event
      .split("\n")
      .filter((line) => line.startsWith("data:"))
      .map((line) => line.slice("data:".length).trimStart())
      .join("\n");
    if (data === "[DONE]") heard = { ...heard, done: true };
    else if (data !== "") heard = add(heard, Chunk.parse(JSON.parse(data)));
  }
  return heard;
}

function add(heard: Heard, { choices, usage, error }: z.infer<typeof Chunk>): Heard {
  const choice = choices?.[0];
  return {
    ...heard,
    content: heard.content + (choice?.delta?.content ?? ""),
    reasoning: heard.reasoning + (choice?.delta?.reasoning_content ?? ""),
    finish: choice?.finish_reason ?? heard.finish,
    usage:
      usage === undefined || usage === null
        ? heard.usage
        : { prompt: usage.prompt_tokens, completion: usage.completion_tokens },
    failed: heard.failed || error !== undefined,
  };
}

/**
 * How many numbered words ("0 1 2 ...", as the script engine says them) a text has. Undefined where they are not
 * exactly that: one is missing, comes twice, or is another's. The last may be cut: a word is one token, and never is.
 */
export function countWords(text: string): number | undefined {
  const words = text.split(" ");
  if (words.pop() !== "") return undefined;
  return words.every((word, at) => word === String(at)) ? words.length : undefined;
}
