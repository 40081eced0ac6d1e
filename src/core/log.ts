/**
 * The one way to the log: a line of JSON. What is logged is ids, names, counts and times; never a prompt, an answer, a
 * key or a header's value.
 */

type LogValue =
  | string
  | number
  | boolean
  | null
  | undefined
  | readonly LogValue[]
  | { readonly [name: string]: LogValue };

export function log(event: string, fields: { readonly [name: string]: LogValue }): void {
  console.log(JSON.stringify({ event, ...fields }));
}

/** For what should not happen: the error's name and message, and where; its cause's too. */
export function logError(
  event: string,
  error: unknown,
  fields: { readonly [name: string]: LogValue } = {},
): void {
  const known = error instanceof Error ? error : new Error(String(error));
  const cause = known.cause instanceof Error ? known.cause.message : undefined;
  console.error(
    JSON.stringify({
      event,
      ...fields,
      error: known.name,
      message: known.message,
      cause,
      stack: known.stack,
    }),
  );
}
