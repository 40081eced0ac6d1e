/** What a call asks of its answer's form: free text, JSON, a schema; tools or none. */
export type Format =
  | { readonly kind: "text" }
  | { readonly kind: "json" }
  | { readonly kind: "schema"; readonly schema: unknown; readonly strict: boolean };

export type OfferedTool = {
  readonly name: string;
  readonly strict: boolean;
  /** JSON Schema; undefined: no arguments were described. */
  readonly schema: unknown;
};

export type Form = {
  readonly format: Format;
  readonly tools: readonly OfferedTool[];
  /** Whether tools are called: as the model likes, or in any case. Without tools it says nothing. */
  readonly call: "may" | "must";
  readonly parallel: boolean;
};

/** Of a call that asks nothing of it. */
export const FREE: Form = { format: { kind: "text" }, tools: [], call: "may", parallel: true };
