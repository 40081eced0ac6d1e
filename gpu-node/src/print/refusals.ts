/**
 * Refusals as responses: to an edge as themselves, to a client of this node alone in OpenAI's words. Exhaustive, so
 * that a new kind of refusal does not compile until a client can be told of it.
 */
import { REFUSAL_STATUS, type Refusal } from "@sluice/protocol/refusal";

export type Printed = {
  readonly status: number;
  readonly body: string;
  readonly retryAfterMs: number | undefined;
};

/** As the header has it: whole seconds, and never none. */
export function retryAfterS(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1_000)));
}

function retryAfterOf(refusal: Refusal): number | undefined {
  return "retryAfterMs" in refusal ? refusal.retryAfterMs : undefined;
}

export function printRefusal(refusal: Refusal): Printed {
  const status = REFUSAL_STATUS[refusal.kind];
  return { status, body: JSON.stringify({ refusal }), retryAfterMs: retryAfterOf(refusal) };
}

type Words = {
  readonly message: string;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
};

function wordsOf(refusal: Refusal): Words {
  const code = refusal.kind;
  const invalid = { type: "invalid_request_error", code, param: null };
  const busy = { type: "overloaded_error", code, param: null };
  switch (refusal.kind) {
    case "invalid_request":
    case "unsupported_parameter":
      return { ...invalid, param: refusal.param, message: refusal.message };
    case "prompt_too_long":
      return {
        ...invalid,
        code: "context_length_exceeded",
        param: "messages",
        message:
          `The prompt has ${refusal.promptTokens} tokens or more; this model's context is ${refusal.contextTokens} tokens, ` +
          "and at least one must be left for the answer.",
      };
    case "unknown_model":
      return {
        ...invalid,
        code: "model_not_found",
        param: "model",
        message: `The model '${refusal.model}' does not exist here. GET /v1/models lists the one that does.`,
      };
    case "body_too_large":
      return { ...invalid, message: `The body is larger than ${refusal.bytesMax} bytes.` };
    case "queue_full":
    case "kv_full":
    case "journal_full":
      return { ...busy, message: "This node has no room for the request at the moment. Try again shortly." };
    case "draining":
      return { ...busy, message: "This node is shutting down." };
    case "loading":
      return { ...busy, message: "The model is being loaded. Try again shortly." };
    case "hold_too_small":
    case "bad_mac":
    case "wrong_node":
    case "stale":
    case "replayed":
    case "unknown_version":
    case "bad_call":
    case "other_weights":
      return { ...invalid, message: "The request was refused." };
  }
}

/** OpenAI's `{"error": {...}}`. */
export function printOpenAiError(refusal: Refusal): Printed {
  const status = REFUSAL_STATUS[refusal.kind];
  return { status, body: JSON.stringify({ error: wordsOf(refusal) }), retryAfterMs: retryAfterOf(refusal) };
}
