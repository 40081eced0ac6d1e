/** What is known of a tool section while it is read, and what a piece of it tells. The readers of all forms share it. */

/** A call begins (with its name), or its arguments grow. */
export type CallDelta = { readonly call: number; readonly name?: string; readonly text: string };

export type Section = {
  readonly phase: "between" | "kind" | "name" | "fence" | "arguments" | "value" | "over";
  /** Read, and not yet understood. */
  readonly buffer: string;
  /** Calls begun so far in the whole answer. */
  readonly calls: number;
  /** Of the call being read: arguments told so far, in characters or (v3.2) parameters. */
  readonly told: number;
  /** v3.2: the value being read is a string's text. */
  readonly quoted: boolean;
};

export type SectionStep = { readonly section: Section; readonly deltas: readonly CallDelta[] };
