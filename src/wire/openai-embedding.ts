/**
 * OpenAI's embeddings, inbound: bytes in, one Call out, or a fault that names the field. A call makes no output: its bill is
 * its prompt, all inputs together. As with chats, the edge checks what it reads itself and leaves the rest to the node.
 */
import { z } from "zod";
import { FaultError } from "../core/fault.ts";
import type { ParsedCall } from "./call.ts";
import { faultOf, parseJson, sharedFields } from "./openai-chat.ts";

const { model, user, user_id } = sharedFields;
/** As many as OpenAI takes in one call. */
const INPUTS_MAX = 2_048;

const EmbeddingBody = z.looseObject({
  model,
  user,
  user_id,
  input: z.union([z.string(), z.array(z.unknown()).min(1)], {
    error: "a text, a list of token ids, or a list of either",
  }),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).nullish(),
});

/** Throws a FaultError `invalid_request` that names the field. */
export function parseOpenAiEmbedding(body: Uint8Array): ParsedCall {
  const parsed = EmbeddingBody.safeParse(parseJson(body));
  if (!parsed.success) throw new FaultError(faultOf(parsed.error));
  const { model: modelAs, input, user_id: userId } = parsed.data;
  // A list of token ids is one input; a list of anything else is as many as it has.
  const inputs = typeof input === "string" || typeof input[0] === "number" ? 1 : input.length;
  if (inputs > INPUTS_MAX)
    throw new FaultError({
      kind: "invalid_request",
      param: "input",
      message: `Invalid 'input': at most ${INPUTS_MAX} inputs in one call.`,
    });
  return {
    dialect: "openai.embedding",
    modelAs,
    stream: false,
    // None is made; a hold has a ceiling of one all the same.
    outputAsked: 1,
    choices: 1,
    needs: [{ feature: "embeddings", param: "model" }],
    messages: inputs,
    prompts: inputs,
    userId: userId ?? undefined,
    deterministic: false,
    includeUsage: false,
    body,
    // No node says sketches of it; what it gives is an opening, and how long it is.
    prompt: { messages: [{ role: "user", content: input }] },
  };
}
