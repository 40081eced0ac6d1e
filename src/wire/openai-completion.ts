/**
 * OpenAI's older text completions, inbound: bytes in, one Call out, or a fault that names the field. As with chats, the
 * edge checks what it reads itself and leaves the rest to the node.
 */
import { z } from "zod";
import { FaultError } from "../core/fault.ts";
import type { ParsedCall } from "./call.ts";
import { needsOf } from "./needs.ts";
import { faultOf, parseJson, sharedFields } from "./openai-chat.ts";

/** What that API does where nothing is said. */
const OUTPUT_TOKENS_DEFAULT = 16;

const CompletionBody = z.looseObject({
  ...sharedFields,
  prompt: z.union([z.string(), z.array(z.unknown()).min(1)], {
    error: "a text, or a list of token ids",
  }),
});

/** Throws a FaultError `invalid_request` that names the field. */
export function parseOpenAiCompletion(body: Uint8Array): ParsedCall {
  const raw = parseJson(body);
  const parsed = CompletionBody.safeParse(raw);
  if (!parsed.success) throw new FaultError(faultOf(parsed.error));
  const asked = parsed.data;
  return {
    dialect: "openai.completion",
    modelAs: asked.model,
    stream: asked.stream ?? false,
    outputAsked: asked.max_tokens ?? OUTPUT_TOKENS_DEFAULT,
    choices: asked.n ?? 1,
    needs: [{ feature: "completions", param: "model" }, ...needsOf(raw)],
    messages: 1,
    userId: asked.user_id ?? undefined,
    deterministic: asked.temperature === 0 || typeof asked.seed === "number",
    includeUsage: asked.stream_options?.include_usage ?? false,
    body,
    // No node says sketches of bare text; what it gives is an opening, so that equal beginnings go to one node.
    prompt: { messages: [{ role: "user", content: asked.prompt }] },
  };
}
