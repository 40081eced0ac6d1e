/**
 * The one way to the log: a line of JSON per event, to standard output. What is logged is ids, names, counts and times;
 * never a prompt, an answer, a token, a key or a header's value.
 */

type LogValue = string | number | boolean | null | undefined | readonly string[];

export type LogFields = { readonly [name: string]: LogValue };

export type Log = (event: string, fields?: LogFields) => void;

export function log(event: string, fields: LogFields = {}): void {
  console.log(JSON.stringify({ at: new Date().toISOString(), event, ...fields }));
}

/** An error as fields: its name and its message, and its cause's. */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { message: String(error) };
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return { error: error.name, message: error.message, cause };
}
