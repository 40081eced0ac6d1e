/**
 * The call: a client's request as the rest of the house knows it, whatever dialect it came in. Made once by a
 * dialect's parser, never changed. The body stays the client's bytes: nodes read it themselves, so a field this build
 * has never heard of still reaches an engine that has.
 */
import type { Dialect } from "@sluice/protocol/call";
import type { PromptSource } from "@sluice/protocol/sketch";
import type { Need } from "./needs.ts";

export type Call = {
  readonly dialect: Dialect;
  /** The model as the client wrote it: an id or an alias. */
  readonly modelAs: string;
  readonly stream: boolean;
  /** The client's own output ceiling, of each answer; null where it gave none. */
  readonly outputAsked: number | null;
  /** How many answers. */
  readonly choices: number;
  /** What not every engine can do. */
  readonly needs: readonly Need[];
  readonly messages: number;
  /** How many prompts, each of which has to fit the model's context; one where nothing is said. */
  readonly prompts?: number;
  /** Splits an account's isolation further, where the client says for whom it asks. */
  readonly userId: string | undefined;
  /** Temperature 0, or a seed: asking again would give the same answer. */
  readonly deterministic: boolean;
  /** A stream that ends with its usage. */
  readonly includeUsage: boolean;
  readonly body: Uint8Array;
};

const REQUEST_PREFIX = "req_";

const ANSWER_PREFIX: { readonly [D in Dialect]: string } = {
  "openai.chat": "chatcmpl-",
  "openai.completion": "cmpl-",
  "openai.embedding": "embd-",
};

/** The id of a request's answer, as its dialect's clients expect one. */
export function answerIdOf(dialect: Dialect, requestId: string): string {
  return `${ANSWER_PREFIX[dialect]}${requestId.slice(REQUEST_PREFIX.length)}`;
}

/** The request that an answer's id belongs to; what is none is given back as it is. */
export function requestIdOf(id: string): string {
  const prefix = Object.values(ANSWER_PREFIX).find((one) => id.startsWith(one));
  return prefix === undefined ? id : `${REQUEST_PREFIX}${id.slice(prefix.length)}`;
}

/** A call as it was just parsed, with the prompt as text. That is read once and let go: the call may run for minutes. */
export type ParsedCall = Call & { readonly prompt: PromptSource["body"] };

/**
 * The prompt ceiling before anyone has tokenised anything: a byte-level vocabulary needs well under one token per
 * three bytes of ordinary text, and a template adds some per message. Where this is too small the node says so, with
 * the exact count, and the hold is extended once.
 */
export function firstPromptCeiling(call: Call): number {
  return Math.ceil(call.body.length / 3) + 64 * call.messages;
}
