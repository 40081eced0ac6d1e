/** Refusals of a body's fields, in the words clients of OpenAI's API know. Pure. */
import type { Refusal } from "@sluice/protocol/refusal";
import type { z } from "zod";

const MESSAGE_CHARS_MAX = 500;
const PARAM_CHARS_MAX = 200;

export type Refused = { readonly ok: false; readonly refusal: Refusal };

export function invalid(message: string, param: string | null): Refused {
  return {
    ok: false,
    refusal: {
      kind: "invalid_request",
      param: param?.slice(0, PARAM_CHARS_MAX) ?? null,
      message: message.slice(0, MESSAGE_CHARS_MAX),
    },
  };
}

/** `what` continues "'field': ...". */
export function invalidField(param: string, what: string): Refused {
  return invalid(`Invalid '${param.slice(0, PARAM_CHARS_MAX)}': ${what}.`, param);
}

/** `what` is the subject of "... is not supported". */
export function unsupported(param: string, what: string): Refused {
  const message = `'${param}': ${what} is not supported here.`;
  return {
    ok: false,
    refusal: { kind: "unsupported_parameter", param, message: message.slice(0, MESSAGE_CHARS_MAX) },
  };
}

/** A path as OpenAI prints it: `messages[0].role`. */
function printPath(path: readonly PropertyKey[]): string | null {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? String(part) : `.${String(part)}`;
  }
  return text === "" ? null : text;
}

/** The first thing that is wrong. */
export function invalidBody(error: z.ZodError): Refused {
  const issue = error.issues[0];
  const param = printPath(issue?.path ?? []);
  const what = issue?.message ?? "Invalid input";
  return param === null ? invalid(`${what}.`, null) : invalidField(param, what);
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Undefined where the bytes are no JSON. */
export function parseJson(bytes: Uint8Array): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(decoder.decode(bytes)) as unknown };
  } catch {
    return undefined;
  }
}

export const NOT_JSON = invalid("The body is not valid JSON in UTF-8.", null);
