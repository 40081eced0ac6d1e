/**
 * What differs between the servers an http engine can front: one small file each (vllm.ts, sglang.ts, llama-server.ts)
 * says it in this form. All of them take token ids and give token ids: a server that does not is refused when the
 * node starts, because positions are what is billed and what another node continues from.
 */
import type { Task } from "../engine.ts";

export type Asked = { readonly path: string; readonly body: unknown };

/** What one event of a stream says. */
export type Part = {
  readonly ids?: readonly number[];
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
};

/** The load the server itself reports; every name has to be there. */
export type MetricNames = { readonly running: string; readonly waiting: string; readonly kvUsage?: string };

export interface Server {
  readonly name: "vllm" | "sglang" | "llama-server";
  /** "salt": prefixes are kept apart by the tag; "slots": by giving a tag its own slots, where the operator allows it. */
  readonly isolation: "salt" | "slots";
  readonly factPaths: readonly string[];
  /** From the answers of `factPaths`, in order. */
  facts(answers: readonly unknown[]): ServerFacts;
  tokenize(model: string, text: string, special: boolean): Asked;
  tokensIn(answer: unknown): readonly number[];
  /** `slot` is set where isolation is by slots; `reuse` is whether a prefix may be. */
  generate(model: string, task: Task, place: { readonly slot?: number; readonly reuse: boolean }): Asked;
  /** Reads the events of one stream, in order. */
  reader(): (event: unknown) => Part;
  readonly metrics: MetricNames;
}
