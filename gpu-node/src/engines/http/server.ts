/**
 * What differs between the servers an http engine can front by token ids: one small file each (vllm.ts, sglang.ts,
 * llama-server.ts) says it in this form. All of them take token ids and give token ids; positions are what is billed and
 * what another node continues from.
 */
import type { Notation } from "../../grammar/gbnf-reader.ts";
import type { Sampling, Task } from "../engine.ts";

export type Asked = { readonly path: string; readonly body: unknown };

/** A token's logarithms, as the server says them: of itself, and of the likeliest. */
export type Weight = {
  readonly own: number;
  readonly top: readonly (readonly [id: number, logprob: number])[];
};

/** What one event of a stream says. */
export type Part = {
  readonly ids?: readonly number[];
  /** One for each of these ids, where they were asked for. */
  readonly weights?: readonly Weight[];
  /** Positions so far, where the server counts them: more than the ids it has shown means that some are missing. */
  readonly positions?: number;
  /** Text these ids stand for, where it is needed to find the missing ones. */
  readonly text?: string;
  /** Prompt tokens that needed no evaluation. */
  readonly cached?: number;
  /** Prompt tokens evaluated so far, the cached ones included. */
  readonly evaluated?: number;
  readonly end?: "stop" | "length";
  /** The server will not finish this one; the others go on. */
  readonly gaveUp?: true;
};

/** All of them say so in the same form, in the place of any other event. */
export function isErrorEvent(event: unknown): boolean {
  return typeof event === "object" && event !== null && "error" in event && event.error !== null;
}

export type ServerFacts = {
  /** The name it wants in requests. */
  readonly model: string;
  readonly contextTokens: number;
  /** Undefined where it does not say: then as many as the operator says. */
  readonly slots: number | undefined;
  /** Whether equal seeds give equal dice there. */
  readonly seeded: boolean;
};

/** The load the server itself reports; every name has to be there. */
export type MetricNames = { readonly running: string; readonly waiting: string; readonly kvUsage?: string };

/** One request of a task: what stands before it, what it may add, and what that is bound to. */
export type Leg = {
  readonly tokens: readonly number[];
  readonly tokensMax: number;
  readonly sampling: Sampling;
  readonly grammar?: string;
  readonly logprobs?: number;
};

export type Spot = {
  /** Set where isolation is by slots. */
  readonly slot?: number;
  /** Undefined: nothing may be reused, and nobody may reuse it. */
  readonly tag: string | undefined;
};

export interface Server {
  readonly name: "vllm" | "sglang" | "llama-server";
  /** "salt": prefixes are kept apart by the tag; "slots": by giving a tag its own slots, where the operator allows it. */
  readonly isolation: "salt" | "slots";
  readonly notation: Notation;
  /** Each with the names it has in other releases, behind the first. */
  readonly factPaths: readonly (readonly [string, ...string[]])[];
  /** From the answers of `factPaths`, in order. */
  facts(answers: readonly unknown[]): ServerFacts;
  tokenize(model: string, text: string, special: boolean): Asked;
  tokensIn(answer: unknown): readonly number[];
  generate(model: string, leg: Leg, spot: Spot): Asked;
  /** Reads the events of one stream, in order. */
  reader(): (event: unknown) => Part;
  /** Something is told behind the end: how much was cached. */
  readonly tellsBehindEnd: boolean;
  /** Why its log probabilities would not be the model's own for this task; undefined: they are. */
  notRaw?(task: Task): string | undefined;
  readonly metrics: MetricNames;
  /** For the operator, where it lacks this: which release has it, or which flag gives it. */
  readonly hints: {
    readonly ids: string;
    readonly apart: string;
    readonly grammar: string;
    readonly cached: string;
    readonly metrics: string;
  };
}
