/**
 * A client of this node alone: plain OpenAI, no edge, no journal, no bill. Only where the operator said
 * `--insecure-standalone`, on loopback.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CLIENT_BODY_BYTES_MAX } from "@sluice/protocol/limits";
import type { Refusal } from "@sluice/protocol/refusal";
import type { Outlet } from "./attempt/outlet.ts";
import { NO_LEDGER } from "./attempt/plan.ts";
import type { Work, Worked } from "./attempt/work.ts";
import type { Spoken } from "./dialects.ts";
import { readBody } from "./intake/read-body.ts";
import type { Refused } from "./intake/refuse.ts";
import type { Life } from "./life.ts";
import { printOpenAiError } from "./print/refusals.ts";
import { sendPrinted } from "./send.ts";
import { LOADING, type Station } from "./station.ts";
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
  const id = newId();
  const read = readPlain(workshop, spoken, body, id);
  if (!read.ok) return read.refusal;
  const sought = workshop.seek(read.model);
  if (!sought.ok) return sought.refusal;
  const { station } = sought;
  const worked = await read.workAt(station);
  if (!worked.ok) return worked.refusal;
  // Tokenising took a moment: the reader may have left, and a drain may have begun, or other weights have come.
  if (life.refusal !== undefined) return life.refusal;
  const still = workshop.seek(read.model);
  if (!still.ok || still.station !== station) return still.ok ? LOADING : still.refusal;
  if (!outlet.open) return undefined;
  const place = station.enter();
  if ("refusal" in place) return place.refusal;
  place.leave();
  await run({ workshop, station }, id, worked.work, { outlet, response });
  return undefined;
}

const ALONE = {
  lane: "standalone",
  promptCeiling: Number.POSITIVE_INFINITY,
  notes: false,
} as const;

type ReadPlain =
  | { readonly ok: true; readonly model: string; readonly workAt: (station: Station) => Promise<Worked> }
  | Refused;

/** What the body asks, of whichever station serves the model it names. */
function readPlain(workshop: Workshop, spoken: Spoken, body: Uint8Array, id: string): ReadPlain {
  if (spoken.makes === "embeddings") {
    const parsed = workshop.read(spoken.parse, body);
    if (!parsed.ok) return parsed;
    const { wish } = parsed;
    const { model } = wish;
    const workAt = (station: Station): Promise<Worked> =>
      station.embeddingWork(wish, { ...ALONE, modelAs: model });
    return { ok: true, model, workAt };
  }
  const parsed = workshop.read(spoken.parse, body);
  if (!parsed.ok) return parsed;
  const { wish } = parsed;
  const workAt = (station: Station): Promise<Worked> =>
    station.work(wish, {
      ...ALONE,
      responseId: `${spoken.idPrefix}${id}`,
      createdS: Math.floor(Date.now() / 1_000),
      modelAs: wish.model,
      thinkingDefault: false,
      tag: "standalone",
      outputCeiling: wish.choices * (wish.outputAsked ?? OUTPUT_TOKENS_DEFAULT),
      stream: wish.stream,
      resume: undefined,
      print: spoken.print,
    });
  return { ok: true, model: wish.model, workAt };
}

type Reader = { readonly outlet: Outlet; readonly response: ServerResponse };

async function run(
  { workshop, station }: { readonly workshop: Workshop; readonly station: Station },
  id: string,
  work: Work,
  { outlet, response }: Reader,
): Promise<void> {
  const attempt = work.begin(outlet, NO_LEDGER, id);
  workshop.running.add(id, attempt, { place: station, ticket: undefined }, workshop.now());
  if (work.stream) outlet.begin("text/event-stream; charset=utf-8");
  else response.setHeader("content-type", "application/json");
  const outcome = await attempt.run();
  workshop.running.delete(id);
  workshop.measures.noteEnd(outcome.ended);
  workshop.log("attempt_ended", { id, ended: outcome.ended, to: outcome.to, prompt: outcome.prompt });
}
