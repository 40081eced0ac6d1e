/**
 * What every engine is to the rest of the node: something that turns prompt tokens into more tokens, a few requests at
 * a time. Engines know weights, tokens and slots; they know nothing of HTTP, dialects, journals or money.
 *
 * Contract (test/node/engine-contract.ts runs it on every engine):
 * - `generate` ends in exactly one of two ways: an `end` event, or a throw. A throw is an EngineFault, or the signal's
 *   reason once the caller has aborted. After either, the slot is free within a token's time.
 * - Events come in the order `started`, `evaluated`*, `tokens`*, `counted`?, `end`; every sampled token appears in a `tokens` event,
 *   the end token included, and none appears after the signal was aborted and the pending step has finished.
 * - A prefix is reused only between tasks with equal `tag`.
 * - One process-wide death (a native abort, a kill) fails every running task with `engine_died` and heals by itself.
 */

import type { Form } from "../grammar/form.ts";
import type { ServerLoad } from "../load/engine-load.ts";

export type EngineInfo = {
  /** The model's id, as calls name it. */
  readonly model: string;
  /** Digest of weights, tokenizer and template: only equal digests continue each other. */
  readonly weights: string;
  readonly contextTokens: number;
  /** Tasks it can run at once. */
  readonly slots: number;
  /** What really computes: "cpu", "cuda", "vulkan", "metal", "script". */
  readonly backend: string;
  readonly features: readonly string[];
  /** What calls may ask of any engine and this one refuses: "top_k", "min_p", "thinking_on", "thinking_off". */
  readonly lacks?: readonly string[];
  /** Token ids are below this. */
  readonly vocabularyTokens: number;
  /** Tokens that end an answer. */
  readonly endTokens: readonly number[];
  /** The tokens around thinking; undefined where the model does not think. */
  readonly think?: { readonly open: number; readonly close: number };
  /** Undefined where the model's template has no form for tools that this build knows. */
  readonly tools?: ToolMarks;
  /**
   * A server stands behind it that shows no tokens: those of its prompts and answers are stand-ins (a prompt's number of them
   * is an estimate, an answer's are pieces of text), and what is billed is what that server says it counted.
   */
  readonly told?: true;
  /** Undefined where it makes no embeddings. */
  readonly embedding?: { readonly dimensions: number };
  /** It makes embeddings and nothing else. */
  readonly answers?: false;
};

export type ToolCall = {
  readonly name: string;
  /** A JSON object's text. */
  readonly arguments: string;
};

export type ChatMessage = {
  readonly role: "system" | "user" | "assistant" | "tool";
  /** Plain text: whatever it contains, no special token comes of it. */
  readonly content: string;
  /** What an assistant thought, and the tools it called; a tool's message answers the call of its place. */
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCall[];
};

export type Tool = {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of the arguments, as a JSON text. */
  readonly parameters: string;
};

export type ChatPrompt = {
  readonly messages: readonly ChatMessage[];
  readonly thinking: boolean;
  readonly tools?: readonly Tool[];
  /** The answer is given up to here, and only what follows is made. */
  readonly prefix?: { readonly reasoning: string; readonly content: string };
};

/**
 * How a model writes that it calls tools. `v3` (R1, V3): `function<sep>NAME`, then the arguments in a fenced block. `v3.1`:
 * `NAME<sep>ARGUMENTS`. `v3.2`: tags, each made of the one mark and text.
 */
export type ToolMarks =
  | {
      readonly format: "v3" | "v3.1";
      readonly callsBegin: number;
      readonly callsEnd: number;
      readonly callBegin: number;
      readonly callEnd: number;
      readonly sep: number;
    }
  | { readonly format: "v3.2"; readonly dsml: number };

export type Sampling = {
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  /** 0 or absent: all of them. */
  readonly topK?: number;
  /** Tokens less likely than this share of the likeliest are left out. */
  readonly minP?: number;
  /** Taken off a token's logit: once where the answer has it already, and for each time it has it. */
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  /** Added to logits; -Infinity forbids a token. */
  readonly logitBias?: readonly (readonly [id: number, bias: number])[];
  /** Undefined: fresh dice. With a seed, the choice at a position depends on (seed, position) and the logits alone. */
  readonly seed?: number;
};

/** What the answer is bound to: a grammar in llama.cpp's notation (GBNF), where tokens may be named as `<[id]>`. */
export type Grammar = {
  readonly gbnf: string;
  /** It binds what comes behind the first token of this id; undefined: everything. */
  readonly after?: number;
};

export type Said = {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly Tool[];
  readonly form: Form;
  readonly stops: readonly string[];
  readonly thinks: boolean;
  /** The client's field that says whether; undefined where it is by default. */
  readonly thinksBy?: string;
};

export type Task = {
  readonly prompt: readonly number[];
  /** Output tokens delivered by an earlier attempt: part of the context, not of the prompt and not of the output. */
  readonly delivered: readonly number[];
  /** New positions at most. */
  readonly outputTokensMax: number;
  readonly sampling: Sampling;
  readonly tag: string;
  /** What records call it: the request and its attempt. */
  readonly name?: string;
  readonly grammar?: Grammar;
  /** Log probabilities are wanted: of the token itself, and of so many of the likeliest. */
  readonly logprobs?: number;
  /** What the prompt was made of, for an engine whose server makes it itself (`info.told`). */
  readonly said?: Said;
  /** The answer begins inside thinking, which is closed by force after so many positions of the answer. */
  readonly thinkingTokensMax?: number;
};

/** What a server says it counted, of a task of its own. */
export type Told = {
  readonly prompt: number;
  readonly positions: number;
  /** Undefined where it does not say: then this node's own count stands. */
  readonly reasoning: number | undefined;
};

/** Natural logarithms of what the model itself gives: before temperature, penalties, bias and grammar. */
export type Logprobs = {
  readonly own: number;
  /** The likeliest first. */
  readonly top: readonly (readonly [token: Token, logprob: number])[];
};

export type Token = {
  readonly id: number;
  /** The bytes this token adds to the text; empty for control tokens. One character may span several tokens. */
  readonly bytes: Uint8Array;
  /** Where the task wants them. */
  readonly logprobs?: Logprobs;
};

export type EngineEvent =
  /** A slot is taken. `cached` prompt tokens need no evaluation. */
  | { readonly kind: "started"; readonly cached: number }
  /**
   * Only now does this engine know how many prompt tokens were cached; `started` said less. An engine that is told (`info.told`)
   * says with it what its server says it has counted so far; the last one stands, also where it says nothing any more.
   */
  | { readonly kind: "counted"; readonly cached: number; readonly told?: Told }
  /** Prefill progress: how many prompt tokens, the cached ones included, are in the context now. */
  | { readonly kind: "evaluated"; readonly promptTokens: number }
  /** The tokens of one decode step, or of a few that were ready together. */
  | { readonly kind: "tokens"; readonly tokens: readonly Token[] }
  /** `stop`: an end token was sampled. `length`: `outputTokensMax` or the context is used up. */
  | { readonly kind: "end"; readonly why: "stop" | "length" };

/** For whoever opens an engine that may have to be waited for. */
export type Opening = {
  /** Ends the waiting: then opening it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Told at each change what it waits for. */
  readonly waiting?: (why: string) => void;
};

/** What an engine cannot do of a task though it can do each part of it: the field that asks, and for what. */
export type Lack = { readonly param: string; readonly what: string };

export interface Engine {
  readonly info: EngineInfo;
  /** False while it (re)starts: calls are refused with `loading`. */
  readonly ready: boolean;
  /** While it is not ready: about how long until it is, by what its starts have taken; undefined where that is not known. */
  readonly wakeMs?: () => number | undefined;
  /**
   * The exact prompt of a chat. Special tokens come from the template alone. Of a prompt that has more than `tokensMax`
   * it may give only the beginning, which has more than that, too.
   */
  encodeChat(prompt: ChatPrompt, tokensMax?: number): Promise<readonly number[]>;
  /** A text as it is, behind the token every prompt begins with, if the model wants one. Special tokens never come of it. */
  encodeText(text: string, tokensMax?: number): Promise<readonly number[]>;
  /** The bytes of tokens delivered earlier, for whoever has to continue a text. */
  decode(tokens: readonly number[]): Promise<readonly Token[]>;
  /** Runs one task; the caller never runs more than `info.slots` at once. */
  generate(task: Task, signal: AbortSignal): AsyncIterable<EngineEvent>;
  /** Asked before a task is begun, so that it can be refused; undefined: it can be done. */
  readonly lackFor?: (task: Task) => Lack | undefined;
  /**
   * A vector of unit length for each input, in order: what the model makes of it behind its last token. Ends as `generate`
   * does, and takes a slot like it. Inputs have a token at least, and no more than the context holds.
   */
  embed?(inputs: readonly (readonly number[])[], signal: AbortSignal): AsyncIterable<Float32Array>;
  /** What a server of its own says of its load; throws where it does not. */
  readonly serverLoad?: () => Promise<ServerLoad>;
  /** Memory of this machine that holds its weights and looks free, because they are in a file, too. */
  readonly mappedBytes?: () => number;
  close(): Promise<void>;
}

export type EngineFaultKind =
  /** The engine's process died under the task. */
  | "engine_died"
  /** This task failed, and no other: the engine lives. */
  | "failed"
  /** The engine lives and has no room for this task now. */
  | "busy"
  /** The engine cannot do what the task asks. */
  | "unsupported"
  /** The weights cannot be loaded: the file, and what is wrong with it. */
  | "bad_model"
  /** The weights and what they need would not fit into what memory there is. */
  | "no_memory";

export class EngineFault extends Error {
  override readonly name = "EngineFault";
  readonly kind: EngineFaultKind;
  /** With `busy`, where it says so: when there may be room. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: EngineFaultKind,
    message: string,
    { retryAfterMs, ...options }: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}
