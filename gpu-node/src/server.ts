/**
 * The node's urls. Hono routes; calls and journal reads are answered on node's own response, because only there can one
 * see a reader leave, wait for it to take what was written, and send bytes when they are due.
 */
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { HttpBindings } from "@hono/node-server";
import { CALL_CONTENT_TYPE, MAC_HEADER, verifyCall } from "@sluice/protocol/call";
import { RequestId } from "@sluice/protocol/ids";
import { JOURNAL_PATH, type JournalList } from "@sluice/protocol/journal";
import { ATTEMPTS_MAX } from "@sluice/protocol/limits";
import { PROBE_PATH } from "@sluice/protocol/probe";
import type { Refusal } from "@sluice/protocol/refusal";
import { NEWEST } from "@sluice/protocol/version";
import { Hono, type Context } from "hono";
import { z } from "zod";
import { DIALECTS } from "./dialects.ts";
import type { EdgeSide } from "./edge-side.ts";
import { errorFields } from "./log.ts";
import type { Life } from "./life.ts";
import { printRefusal } from "./print/refusals.ts";
import { sendPrinted } from "./send.ts";
import { serveCall } from "./serve-call.ts";
import { Prober } from "./serve-probe.ts";
import { servePlain } from "./serve-plain.ts";
import { serveTokenize } from "./serve-tokenize.ts";
import { strangerIn } from "./visitor.ts";
import type { Workshop } from "./workshop.ts";

export type ServerTools = {
  readonly workshop: Workshop;
  readonly life: Life;
  /** Undefined: standalone. */
  readonly edge: EdgeSide | undefined;
  readonly poke: () => void;
  readonly fail: (error: unknown) => void;
  readonly newId: () => string;
};

type Env = { Bindings: HttpBindings };

const ListAsk = z.object({
  after: z.coerce.number().int().min(0),
  begunBefore: z.coerce.number().int().min(0),
});
const JournalAsk = z.object({
  request: RequestId,
  ordinal: z.coerce
    .number()
    .int()
    .min(0)
    .max(ATTEMPTS_MAX - 1),
  from: z.coerce.number().int().min(0),
  to: z.coerce.number().int().min(0),
});

const NO_BODY = new Uint8Array();

export function makeApp(tools: ServerTools): Hono<Env> {
  const { workshop, life, edge } = tools;
  const startedAtMs = workshop.now();
  const app = new Hono<Env>();

  // With an edge every call is signed; alone there is nothing but where a request comes from.
  if (edge === undefined)
    app.use(async (context, next) => {
      const host = context.req.header("host");
      const stranger = strangerIn({ host, origin: context.req.header("origin") });
      if (stranger === undefined) return next();
      const message = `This node answers this machine alone, and the request's ${stranger} is another's.`;
      const error = { message, type: "invalid_request_error", code: `foreign_${stranger}`, param: null };
      return context.json({ error }, 403);
    });

  for (const spoken of Object.values(DIALECTS))
    app.post(spoken.path, async (context) => {
      const { incoming, outgoing } = context.env;
      const isCall = context.req.header("content-type") === CALL_CONTENT_TYPE;
      if (edge === undefined) await servePlain(tools, spoken, incoming, outgoing);
      else if (isCall) await serveCall({ ...tools, edge }, context.req.path, incoming, outgoing);
      else sendPrinted(outgoing, printRefusal({ kind: "bad_mac" }));
      return RESPONSE_ALREADY_SENT;
    });

  for (const path of ["/tokenize", "/v1/tokenize"])
    app.post(path, async (context) => {
      if (edge !== undefined) return context.notFound();
      await serveTokenize(workshop, context.env.incoming, context.env.outgoing);
      return RESPONSE_ALREADY_SENT;
    });

  app.get("/v1/models", (context) => {
    const data = workshop.models.map(({ id, contextTokens, features }) => ({
      id,
      object: "model",
      created: 0,
      owned_by: "sluice",
      context_length: contextTokens,
      features,
    }));
    return context.json({ object: "list", data });
  });

  app.get("/health", (context) => {
    const { state } = life;
    const models = workshop.stations.map(({ model, weights, engine, loadFailing }) => ({
      id: model,
      state: engine.ready ? "ready" : "loading",
      weights,
      backend: engine.info.backend,
      ...(loadFailing ? { load: "unknown" } : {}),
    }));
    const [first] = models;
    const uptimeS = Math.floor((workshop.now() - startedAtMs) / 1_000);
    const who = edge === undefined ? {} : { node: edge.identity.node, region: edge.identity.region };
    const body = {
      state,
      model: first?.id ?? null,
      backend: first?.backend ?? null,
      models,
      failures: Object.fromEntries(workshop.failures),
      uptimeS,
      ...who,
    };
    return context.json(body, state === "ready" ? 200 : 503);
  });

  app.get("/metrics", (context) => {
    const text = workshop.measures.print({
      models: workshop.stations.map(({ model, load }) => ({ model, ...load })),
      journalBytes: edge?.receipts.bytes() ?? 0,
      receiptsUnacknowledged: edge?.receipts.unsettled() ?? 0,
      loop: workshop.loop.quantiles,
      engineLoadFailing: workshop.stations.some(({ loadFailing }) => loadFailing),
    });
    return context.text(text, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  });

  app.get(JOURNAL_PATH, async (context) => {
    if (edge === undefined) return context.notFound();
    return listJournal(edge, context);
  });

  app.get(`${JOURNAL_PATH}/:request/:ordinal`, async (context) => {
    if (edge === undefined) return context.notFound();
    return readJournal(edge, context);
  });

  const prober = edge === undefined ? undefined : new Prober({ workshop, life, edge });
  app.get(`${PROBE_PATH}/:model`, async (context) => {
    if (prober === undefined) return context.notFound();
    const probed = await prober.probe({
      model: context.req.param("model"),
      askedAtMs: Number(context.req.query("at") ?? Number.NaN),
      path: context.env.incoming.url ?? "",
      mac: context.req.header(MAC_HEADER),
    });
    if (probed.kind === "refusal") return refused(probed.refusal);
    const body = probed.kind === "answer" ? probed.answer : probed.failure;
    return context.json(body, probed.kind === "answer" ? 200 : 500, { "cache-control": "no-store" });
  });

  app.notFound((context) => context.json({ error: { message: "There is nothing here." } }, 404));
  app.onError((error, context) => {
    workshop.log("request_failed", errorFields(error));
    if (context.env.outgoing.headersSent) return RESPONSE_ALREADY_SENT;
    return context.json({ error: { message: "Something went wrong here." } }, 500);
  });
  return app;
}

function refused(refusal: Refusal): Response {
  const { status, body } = printRefusal(refusal);
  return new Response(body, { status, headers: { "content-type": "application/json" } });
}

async function listJournal(edge: EdgeSide, context: Context<Env>): Promise<Response> {
  const path = context.env.incoming.url ?? "";
  if (!(await verifyCall(edge.callKeys, context.req.header(MAC_HEADER), path, NO_BODY)))
    return refused({ kind: "bad_mac" });
  const asked = ListAsk.safeParse(context.req.query());
  if (!asked.success) return refused({ kind: "bad_call" });
  const { after, begunBefore } = asked.data;
  const list = {
    v: NEWEST,
    sinceMs: edge.receipts.fact("journal_since_ms") ?? 0,
    ...edge.journal.list(after, begunBefore),
  };
  return context.json(list satisfies JournalList, 200, { "cache-control": "no-store" });
}

async function readJournal(edge: EdgeSide, context: Context<Env>): Promise<Response> {
  // The MAC is over the path as it was sent, query included.
  const path = context.env.incoming.url ?? "";
  if (!(await verifyCall(edge.callKeys, context.req.header(MAC_HEADER), path, NO_BODY)))
    return refused({ kind: "bad_mac" });
  const asked = JournalAsk.safeParse({ ...context.req.param(), ...context.req.query() });
  if (!asked.success) return refused({ kind: "bad_call" });
  const { request, ordinal, from, to } = asked.data;
  const answer = edge.journal.read({ request, ordinal, choice: 0 }, from, to);
  if (answer === undefined && edge.receipts.fact("forgot_early") !== undefined)
    return context.json(
      { error: { message: "This node may have forgotten it: its journal was full." } },
      410,
    );
  return answer === undefined
    ? context.json({ error: { message: "This node has no such attempt." } }, 404)
    : context.json(answer, 200, { "cache-control": "no-store" });
}
