/**
 * What every dialect of OpenAI's needs to print an answer, and what it has to be able to print. Pure. Usage is told in
 * OpenAI's words and in DeepSeek's, whose clients read their own.
 */
import type { Piece, Weighed } from "../answer/gather.ts";
import type { Delta } from "../answer/reduce.ts";

export type Face = {
  readonly id: string;
  readonly createdS: number;
  /** The model as the client asked for it. */
  readonly model: string;
  readonly fingerprint: string;
  /** With it every chunk has a `usage`, null in all but the last. */
  readonly includeUsage: boolean;
  /** How many alternatives are shown with each token; undefined: no log probabilities at all. */
  readonly logprobs: number | undefined;
};

export type Usage = {
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
  readonly reasoning: number;
};

export type FinishReason = "stop" | "length" | "tool_calls";

/** How one choice ended, and what of its text goes out with that: as one event, so that nobody gets it twice. */
export type Finish = {
  readonly choice: number;
  readonly reason: FinishReason;
  readonly tail: Delta | undefined;
  readonly weighed: readonly Weighed[];
};

export type WholeChoice = {
  /** Undefined where it neither thought nor was to think. */
  readonly reasoning: string | undefined;
  readonly content: string;
  readonly calls: readonly { readonly name: string; readonly arguments: string }[];
  readonly weighed: { readonly reasoning: readonly Weighed[]; readonly content: readonly Weighed[] };
  readonly reason: FinishReason;
};

/** A dialect. Each method gives the data of one event. */
export type Print = {
  /** The first event of a choice; undefined where the dialect has none. */
  opening(face: Face, choice: number, thinking: boolean): string | undefined;
  piece(face: Face, piece: Piece): string;
  finish(face: Face, finish: Finish): string;
  usage(face: Face, usage: Usage): string;
  whole(face: Face, choices: readonly WholeChoice[], usage: Usage): string;
};

export const DONE = "[DONE]";

export function printUsage({ prompt, cached, completion, reasoning }: Usage): object {
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
    prompt_cache_hit_tokens: cached,
    prompt_cache_miss_tokens: prompt - cached,
  };
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A token's own text. One that ends inside a character shows U+FFFD there; its bytes are told beside it. */
export function tokenText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
