/**
 * A call of the edge, from its bytes to its receipt: checked, read, tokenised, given a place, journalled, run, signed.
 * Until `begun` is in the journal everything ends in a refusal and costs nothing; after it everything ends in a receipt.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { MAC_HEADER, type CallHead } from "@sluice/protocol/call";
import { printNote, printWorking } from "@sluice/protocol/events";
import { CALL_HEAD_BYTES_MAX, CLIENT_BODY_BYTES_MAX } from "@sluice/protocol/limits";
import type { Refusal } from "@sluice/protocol/refusal";
import { trailOf, type PromptSource, type Trail } from "@sluice/protocol/sketch";
import type { Outlet } from "./attempt/outlet.ts";
import type { Ledger } from "./attempt/plan.ts";
import { nameKey } from "./attempt/running.ts";
import type { Work, Worked } from "./attempt/work.ts";
import { DIALECTS } from "./dialects.ts";
import type { EdgeSide } from "./edge-side.ts";
import { checkCall } from "./intake/node-call.ts";
import { readBody } from "./intake/read-body.ts";
import { parseJson } from "./intake/refuse.ts";
import type { Begun } from "./journal/journal.ts";
import type { Life } from "./life.ts";
import { printRefusal } from "./print/refusals.ts";
import { sendPrinted } from "./send.ts";
import { LOADING, type Station } from "./station.ts";
import type { Workshop } from "./workshop.ts";

const BODY_BYTES_MAX = CALL_HEAD_BYTES_MAX + 1 + CLIENT_BODY_BYTES_MAX;

/** Room comes when an edge acknowledges receipts. */
const JOURNAL_FULL: Refusal = { kind: "journal_full", retryAfterMs: 5_000 };

export type CallTools = {
  readonly workshop: Workshop;
  readonly edge: EdgeSide;
  readonly life: Life;
  /** A receipt is waiting to be sent. */
  readonly poke: () => void;
  /** The journal cannot be written: this process is of no more use. */
  readonly fail: (error: unknown) => void;
};

/** Never rejects. */
export async function serveCall(
  tools: CallTools,
  path: string,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { workshop, edge } = tools;
  const outlet = workshop.outlet(response);
  const refuse = (refusal: Refusal): void => {
    workshop.measures.noteRefusal(refusal.kind);
    sendPrinted(response, printRefusal(refusal));
  };
  const mac = incoming.headers[MAC_HEADER];
  // Megabytes of somebody who holds none of our keys are not even read.
  if (typeof mac !== "string" || !edge.callKeys.has(mac.slice(0, mac.indexOf(":"))))
    return refuse({ kind: "bad_mac" });
  const body = await readBody(incoming, BODY_BYTES_MAX);
  if (!body.ok) {
    if (body.why === "too_large") refuse({ kind: "body_too_large", bytesMax: CLIENT_BODY_BYTES_MAX });
    return;
  }
  const check = {
    node: edge.identity.node,
    callKeys: () => edge.callKeys,
    edgeNowMs: () => edge.edgeNowMs,
    firstReplyMs: () => edge.clock.firstReplyMs,
    promisedMs: () => edge.promisedMs,
    admitting: edge.admitting,
  };
  const call = await checkCall(check, path, mac, body.bytes);
  if (!call.ok) return refuse(call.refusal);
  try {
    const isAt = DIALECTS[call.head.dialect].path === path;
    const refusal = isAt
      ? await accept(tools, call.head, call.clientBody, outlet)
      : ({ kind: "bad_call" } as const);
    if (refusal !== undefined) refuse(refusal);
  } catch (error) {
    tools.fail(error);
    outlet.cut();
  } finally {
    edge.admitting.settle(call.name);
  }
}

/** Resolves when the receipt is in the journal, or with the refusal. */
async function accept(
  tools: CallTools,
  head: CallHead,
  clientBody: Uint8Array,
  outlet: Outlet,
): Promise<Refusal | undefined> {
  const { workshop, life } = tools;
  if (clientBody.length > CLIENT_BODY_BYTES_MAX)
    return { kind: "body_too_large", bytesMax: CLIENT_BODY_BYTES_MAX };
  if (life.refusal !== undefined) return life.refusal;
  if (tools.edge.room.look(workshop.now()).full) return JOURNAL_FULL;
  const sought = workshop.seek(head.model);
  if (!sought.ok) return sought.refusal;
  const { station } = sought;
  const continued = head.resume?.weights;
  if (continued !== undefined && continued !== station.weights) return { kind: "other_weights" };
  const name = `${head.request}/${head.ordinal}`;
  const worked = await workOf(workshop, station, head, clientBody);
  if (!worked.ok) return worked.refusal;
  // Tokenising took a moment: the reader may have left, and a drain may have begun, or other weights have come.
  if (life.refusal !== undefined) return life.refusal;
  const still = workshop.seek(head.model);
  if (!still.ok || still.station !== station) return still.ok ? LOADING : still.refusal;
  const place = station.enter(head.resume !== undefined);
  if ("refusal" in place) return place.refusal;
  try {
    if (!outlet.open) return undefined;
    const begun = beginningOf(tools.edge, head, worked.work, station.weights);
    const id = await tools.edge.journal.begin(begun);
    if (id === undefined) return { kind: "replayed" };
    tools.edge.admitting.settle(name);
    place.leave();
    await run(tools, { station, id, begun, work: worked.work, head, clientBody }, outlet);
    return undefined;
  } finally {
    place.leave();
  }
}

/** The client's body, read in its dialect, counted, and made into work; or why not. */
async function workOf(
  workshop: Workshop,
  station: Station,
  head: CallHead,
  clientBody: Uint8Array,
): Promise<Worked> {
  const spoken = DIALECTS[head.dialect];
  if (spoken.makes === "embeddings") {
    const parsed = workshop.read(spoken.parse, clientBody);
    return parsed.ok ? station.embeddingWork(parsed.wish, { ...head, notes: true }) : parsed;
  }
  const parsed = workshop.read(spoken.parse, clientBody);
  if (!parsed.ok) return parsed;
  const { resume, request, ordinal } = head;
  const name = `${request}/${ordinal}`;
  return station.work(parsed.wish, { ...head, resume, notes: true, print: spoken.print, name });
}

function beginningOf(edge: EdgeSide, head: CallHead, work: Work, weights: string): Begun {
  const { request, ordinal, ticket, issuedAtMs } = head;
  return {
    request,
    ordinal,
    ticket,
    issuedAtMs,
    weights,
    node: edge.identity.node,
    boot: edge.boot,
    begunAtMs: edge.edgeNowMs ?? issuedAtMs,
    from: work.before.positions,
    reasoning: work.before.reasoning,
    prompt: work.echo?.prompt ?? 0,
    cached: work.echo?.cached ?? 0,
  };
}

type Beginning = {
  readonly station: Station;
  readonly id: number;
  readonly begun: Begun;
  readonly work: Work;
  readonly head: CallHead;
  readonly clientBody: Uint8Array;
};

async function run(tools: CallTools, beginning: Beginning, outlet: Outlet): Promise<void> {
  const { station, id, begun, work, head } = beginning;
  const { workshop, edge } = tools;
  const key = nameKey({ request: begun.request, ordinal: begun.ordinal, choice: 0 });
  const ledger: Ledger = {
    progress: (progress, counts) => edge.journal.progress(id, progress, counts),
    ends: (ended, counts) => edge.journal.ends(id, ended, counts),
  };
  const attempt = work.begin(outlet, ledger, key);
  workshop.running.add(key, attempt, { place: station, ticket: begun.ticket }, workshop.now());
  outlet.begin("text/event-stream; charset=utf-8", { "x-accel-buffering": "no" });
  outlet.write(
    `${printNote({ accepted: true, prompt: work.promptTokens, queued: station.scheduler.queued })}\n`,
  );
  outlet.breakSilence(() => printWorking(attempt.made));
  const running = attempt.run();
  const trail = trailIn(beginning);
  const outcome = await running;
  // Of an engine that died nothing is left; of an attempt that ended before its prompt was evaluated, nothing came.
  if (outcome.ended === "engine_died" && outcome.spared !== true) station.sketchBook.clear();
  else if (trail !== undefined && outcome.to > begun.from)
    station.sketchBook.note(trail, head.tag, work.promptTokens);
  await edge.close(id, begun, outcome, edge.edgeNowMs ?? begun.begunAtMs);
  workshop.running.delete(key);
  workshop.measures.noteEnd(outcome.ended);
  const { ended, to, prompt, cached, queueMs, prefillMs } = outcome;
  workshop.log("attempt_ended", {
    request: begun.request,
    ordinal: begun.ordinal,
    model: head.model,
    ended,
    from: begun.from,
    to,
    prompt,
    cached,
    queueMs,
    prefillMs,
  });
  tools.poke();
}

/** The marks of a prompt in the same text the edge sees; undefined where it cannot be read again: it is only a hint. */
function trailIn({ head, clientBody }: Beginning): Trail | undefined {
  const json = parseJson(clientBody);
  if (!json.ok) return undefined;
  const { messages = [], ...body } = json.value as Partial<PromptSource["body"]>;
  return trailOf({
    model: head.model,
    thinkingDefault: head.thinkingDefault,
    body: { ...body, messages: Array.isArray(messages) ? messages : [] },
  });
}
