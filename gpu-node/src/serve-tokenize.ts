/**
 * How many tokens a chat or a text has, and which, for a client of this node alone. (Through an edge the count is what a call
 * that pays for no prompt is refused with: see the edge's `/v1/tokenize`.)
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CLIENT_BODY_BYTES_MAX } from "@sluice/protocol/limits";
import type { Refusal } from "@sluice/protocol/refusal";
import { DIALECTS } from "./dialects.ts";
import { readBody } from "./intake/read-body.ts";
import { invalid, parseJson, unsupported } from "./intake/refuse.ts";
import { printOpenAiError, type Printed } from "./print/refusals.ts";
import { sendPrinted } from "./send.ts";
import type { Workshop } from "./workshop.ts";

/** Never rejects. */
export async function serveTokenize(
  workshop: Workshop,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(incoming, CLIENT_BODY_BYTES_MAX);
  const told = body.ok
    ? await tokenize(workshop, body.bytes)
    : ({ kind: "body_too_large", bytesMax: CLIENT_BODY_BYTES_MAX } as const);
  sendPrinted(response, "kind" in told ? printOpenAiError(told) : told);
}

async function tokenize(workshop: Workshop, body: Uint8Array): Promise<Refusal | Printed> {
  const json = parseJson(body);
  if (!json.ok) return json.refusal;
  const isChat = Object.hasOwn(Object(json.value) as object, "messages");
  const spoken = DIALECTS[isChat ? "openai.chat" : "openai.completion"];
  const parsed = workshop.read(spoken.parse, body);
  if (!parsed.ok) return parsed.refusal;
  const { wish } = parsed;
  const sought = workshop.seek(wish.model);
  if (!sought.ok) return sought.refusal;
  const { station } = sought;
  if (!station.engine.info.features.includes("tokenize"))
    return unsupported("model", "counting tokens with this model's engine").refusal;
  const prepared = await station.prepare(wish, {
    responseId: "",
    createdS: 0,
    modelAs: wish.model,
    thinkingDefault: false,
    tag: "standalone",
    lane: "standalone",
    promptCeiling: Number.POSITIVE_INFINITY,
    outputCeiling: wish.choices,
    stream: false,
    resume: undefined,
    notes: false,
    print: spoken.print,
  });
  if (!prepared.ok) return prepared.refusal;
  const tokens = prepared.plan.tasks[0]?.prompt;
  if (tokens === undefined) return invalid("There is nothing to tokenise.", null).refusal;
  const told = {
    object: "token_count",
    model: wish.model,
    count: tokens.length,
    max_model_len: station.engine.info.contextTokens,
    tokens,
  };
  return { status: 200, body: JSON.stringify(told), retryAfterMs: undefined };
}
