/** An attempt that failed, as it is told: to an edge by a note, to a client of this node alone by OpenAI's error. Pure. */
import type { Note } from "@sluice/protocol/events";
import type { Failure } from "../answer/failure.ts";
import type { Printed } from "./refusals.ts";

export function failureNote({ ended, refused, retryAfterMs }: Failure): Note {
  return {
    ended,
    ...(refused === undefined ? {} : { refused }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

type Words = {
  readonly status: number;
  readonly message: string;
  readonly type: string;
  readonly code: string;
};

function wordsOf({ ended, refused }: Failure): Words {
  if (refused === true)
    return {
      status: 400,
      message: "The engine does not take this request as it is.",
      type: "invalid_request_error",
      code: "engine_refused",
    };
  if (ended === "no_room")
    return {
      status: 503,
      message: "This node has no room for the request at the moment. Try again shortly.",
      type: "overloaded_error",
      code: "no_room",
    };
  return { status: 503, message: "The engine failed; try again.", type: "api_error", code: "engine_failed" };
}

export function printFailure(failure: Failure): Printed {
  const { status, ...error } = wordsOf(failure);
  const body = JSON.stringify({ error: { ...error, param: null } });
  return { status, body, retryAfterMs: failure.retryAfterMs };
}
