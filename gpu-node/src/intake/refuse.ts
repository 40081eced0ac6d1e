/** Refusals of a body's fields, in the words clients of OpenAI's API know. Pure. */
import { isTooDeep, JSON_DEPTH_MAX } from "@sluice/protocol/depth";
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

/** The same of what this engine cannot do: another one that serves the model may. */
export function unsupportedHere(param: string, what: string): Refused {
  const { refusal } = unsupported(param, what);
  return {
    ok: false,
    refusal: refusal.kind === "unsupported_parameter" ? { ...refusal, elsewhere: true } : refusal,
  };
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

export type ParsedJson = { readonly ok: true; readonly value: unknown } | Refused;

export function parseJson(bytes: Uint8Array): ParsedJson {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return invalid("The body is not valid JSON in UTF-8.", null);
  }
  if (isTooDeep(value)) return invalid(`The body is nested more than ${JSON_DEPTH_MAX} levels deep.`, null);
  return { ok: true, value };
}
