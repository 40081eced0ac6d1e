/**
 * A client of this node alone: plain OpenAI, no edge, no journal, no bill. Only where the operator said
 * `--insecure-standalone`, on loopback.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CLIENT_BODY_BYTES_MAX } from "@sluice/protocol/limits";
import type { Refusal } from "@sluice/protocol/refusal";
import type { Outlet } from "./attempt/outlet.ts";
import { NO_LEDGER, type Plan } from "./attempt/plan.ts";
import type { Spoken } from "./dialects.ts";
import { readBody } from "./intake/read-body.ts";
import type { Life } from "./life.ts";
import { printOpenAiError } from "./print/refusals.ts";
import { sendPrinted } from "./send.ts";
import type { Station } from "./station.ts";
import type { Workshop } from "./workshop.ts";

const OUTPUT_TOKENS_DEFAULT = 4_096;

export type PlainTools = { readonly workshop: Workshop; readonly life: Life; readonly newId: () => string };

/** Never rejects. */
export async function servePlain(
  tools: PlainTools,
  spoken: Spoken,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const outlet = tools.workshop.outlet(response);
  const body = await readBody(incoming, CLIENT_BODY_BYTES_MAX);
  const refusal: Refusal | undefined = body.ok
    ? await accept(tools, { spoken, body: body.bytes }, outlet, response)
    : { kind: "body_too_large", bytesMax: CLIENT_BODY_BYTES_MAX };
  if (refusal === undefined) return;
  tools.workshop.measures.noteRefusal(refusal.kind);
  sendPrinted(response, printOpenAiError(refusal));
}

async function accept(
  { workshop, life, newId }: PlainTools,
  { spoken, body }: { readonly spoken: Spoken; readonly body: Uint8Array },
  outlet: Outlet,
  response: ServerResponse,
): Promise<Refusal | undefined> {
  if (life.refusal !== undefined) return life.refusal;
  const parsed = workshop.read(spoken, body);
  if (!parsed.ok) return parsed.refusal;
  const { wish } = parsed;
  const sought = workshop.seek(wish.model);
  if (!sought.ok) return sought.refusal;
  const { station } = sought;
  const id = newId();
  const prepared = await station.prepare(wish, {
    responseId: `${spoken.idPrefix}${id}`,
    createdS: Math.floor(Date.now() / 1_000),
    modelAs: wish.model,
    thinkingDefault: false,
    tag: "standalone",
    lane: "standalone",
    promptCeiling: Number.POSITIVE_INFINITY,
    outputCeiling: wish.choices * (wish.outputAsked ?? OUTPUT_TOKENS_DEFAULT),
    stream: wish.stream,
    resume: undefined,
    notes: false,
    print: spoken.print,
  });
  if (!prepared.ok) return prepared.refusal;
  const place = station.enter();
  if ("refusal" in place) return place.refusal;
  place.leave();
  await run({ workshop, station }, id, prepared.plan, { outlet, response });
  return undefined;
}

type Reader = { readonly outlet: Outlet; readonly response: ServerResponse };

async function run(
  { workshop, station }: { readonly workshop: Workshop; readonly station: Station },
  id: string,
  plan: Plan,
  { outlet, response }: Reader,
): Promise<void> {
  const attempt = station.attempt(plan, outlet, NO_LEDGER, id);
  workshop.running.add(id, attempt, { place: station, ticket: undefined }, workshop.now());
  if (plan.stream) outlet.begin("text/event-stream; charset=utf-8");
  else response.setHeader("content-type", "application/json");
  const outcome = await attempt.run();
  workshop.running.delete(id);
  workshop.measures.noteEnd(outcome.ended);
  workshop.log("attempt_ended", { id, ended: outcome.ended, to: outcome.to, prompt: outcome.prompt });
}
