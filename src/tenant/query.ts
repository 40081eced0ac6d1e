/**
 * Queries, parsed once and strictly: a parameter nobody knows, or one that makes no sense, is a fault that names it. A
 * misspelt filter that is silently ignored is a wrong number on somebody's invoice.
 */
import type { z } from "zod";
import { FaultError } from "../core/fault.ts";

const QUERY_CHARS_MAX = 4_096;

/** A list may be given as `a=1&a=2`, `a[]=1&a[]=2` or `a=1,2`; `lists` names those parameters that are lists. */
export function readQuery<Schema extends z.ZodType>(
  url: string,
  schema: Schema,
  lists: readonly string[] = [],
): z.output<Schema> {
  const { search, searchParams } = new URL(url);
  if (search.length > QUERY_CHARS_MAX)
    throw invalid(null, `The query has more than ${QUERY_CHARS_MAX} characters.`);
  const given: Record<string, string | string[]> = {};
  for (const [typed, value] of searchParams) {
    const name = typed.replace(/\[\]$/, "");
    const before = given[name];
    if (lists.includes(name)) given[name] = [before ?? [], value.split(",")].flat();
    else if (before === undefined) given[name] = value;
    else throw invalid(name, `'${name}' was given twice.`);
  }
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === "unrecognized_keys")
    throw invalid(issue.keys[0] ?? null, `'${issue.keys.join("', '")}' is no parameter of this call.`);
  const param = issue === undefined ? null : issue.path.map(String).join(".");
  throw invalid(param, `'${param}': ${issue?.message ?? "the query is malformed"}`);
}

export function invalid(param: string | null, message: string): FaultError {
  return new FaultError({ kind: "invalid_request", param, message });
}
