/**
 * From urls to handlers, and from whatever is thrown to an answer. The dialect's paths are served with and without
 * `/v1`, since both are in use by clients of this API. No decisions of a request's way are made here: that is infer.ts.
 */
import type { Dialect } from "@sluice/protocol/call";
import { Hono, type Context } from "hono";
import { adminApp } from "./admin/app.ts";
import { authenticate } from "./auth/authenticate.ts";
import type { Catalogue } from "./core/catalogue.ts";
import type { Env } from "./core/env.ts";
import { FaultError, type Fault } from "./core/fault.ts";
import { logError } from "./core/log.ts";
import { secretsOf } from "./core/secrets.ts";
import { readCatalogue } from "./db/catalogue.ts";
import { infer, type Asked } from "./infer.ts";
import { settleBeat } from "./metering/settle.ts";
import { nodesApp } from "./nodes/app.ts";
import { publicKeys } from "./nodes/public-keys.ts";
import { liveNodes } from "./nodes/snapshot.ts";
import { tenantApp } from "./tenant/app.ts";
import { discardBody } from "./wire/body.ts";
import { allowedOrigin, parseOrigins, preflight, readableFor, type Origins } from "./wire/cors.ts";
import { faultResponse } from "./wire/openai-fault.ts";
import { featuresOf, printModel, printModels, type Features } from "./wire/openai-models.ts";

type App = { Bindings: Env };

/** What has no request of its own still has an id to be asked about. */
function newId(): string {
  return `req_${crypto.randomUUID()}`;
}

async function inDialect(c: Context<App>, dialect: Dialect, wanted: Asked["wanted"]): Promise<Response> {
  const { requestId, response } = infer(
    { request: c.req.raw, dialect, wanted },
    c.env,
    c.executionCtx as ExecutionContext,
    secretsOf(c.env),
  );
  return response.catch(async (error: unknown) => {
    await discardBody(c.req.raw);
    return answerError(error, requestId);
  });
}

/** What the nodes that live now can do. A region that is away says nothing, and fails nothing. */
async function known(env: Env, { regions }: Catalogue): Promise<Features> {
  return featuresOf((await liveNodes(env, regions, Date.now())).nodes);
}

async function models(c: Context<App>): Promise<Response> {
  await authenticate(secretsOf(c.env), c.req.raw.headers, Date.now());
  const catalogue = await readCatalogue(c.env, Date.now());
  return c.json(printModels(catalogue, await known(c.env, catalogue)));
}

async function model(c: Context<App>): Promise<Response> {
  await authenticate(secretsOf(c.env), c.req.raw.headers, Date.now());
  const name = c.req.param("model") ?? "";
  const catalogue = await readCatalogue(c.env, Date.now());
  const printed = printModel(catalogue, name, await known(c.env, catalogue));
  if (printed === undefined) throw new FaultError({ kind: "model_not_found", model: name });
  return c.json(printed);
}

function answerError(error: unknown, requestId: string): Response {
  if (error instanceof FaultError) {
    if (LOGGED.has(error.fault.kind)) {
      logError("request_fault", error, { id: requestId });
    }
    return faultResponse(error.fault, requestId);
  }
  logError("request_failed", error, { id: requestId });
  return faultResponse({ kind: "internal" }, requestId);
}

/** Faults that an operator has to hear of. */
const LOGGED: ReadonlySet<Fault["kind"]> = new Set(["storage_unavailable", "misconfigured", "internal"]);

const PATHS = [
  ["/chat/completions", "openai.chat", "answer"],
  ["/completions", "openai.completion", "answer"],
  ["/embeddings", "openai.embedding", "answer"],
  ["/tokenize", "openai.chat", "count"],
] as const satisfies readonly (readonly [string, Dialect, Asked["wanted"]])[];

/** Parsed once per isolate: the text only changes with a deployment. */
let origins: { readonly text: string | undefined; readonly parsed: Origins } | undefined;

/** Throws a FaultError `misconfigured`. */
function originsOf({ SLUICE_CORS_ORIGINS: text }: Env): Origins {
  if (origins !== undefined && origins.text === text) return origins.parsed;
  try {
    origins = { text, parsed: parseOrigins(text) };
  } catch (error) {
    throw new FaultError({ kind: "misconfigured", what: error instanceof Error ? error.message : "origins" });
  }
  return origins.parsed;
}

/** Every call. One that a page of another origin makes gets leave where the operator has named that origin. */
export async function serve(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
  if (!request.headers.has("origin")) return app.fetch(request, env, ctx);
  let origin: string | undefined;
  try {
    origin = allowedOrigin(request, originsOf(env));
  } catch (error) {
    return answerError(error, newId());
  }
  if (origin === undefined) return app.fetch(request, env, ctx);
  return preflight(request, origin) ?? readableFor(origin, await app.fetch(request, env, ctx));
}

export const app = new Hono<App>();

export const operatorApp = new Hono<App>().route("/admin/v1", adminApp({ secretsOf }));

for (const prefix of ["", "/v1"]) {
  for (const [path, dialect, wanted] of PATHS) app.post(prefix + path, (c) => inDialect(c, dialect, wanted));
  app.get(`${prefix}/models`, models);
  app.get(`${prefix}/models/:model`, model);
}

app.get("/health", (c) => {
  // A deployment whose secrets cannot be read serves nobody; it says so here and not at the first request.
  secretsOf(c.env);
  originsOf(c.env);
  return c.json({ status: "ok" });
});

app.get("/.well-known/sluice-node-keys.json", (c) => publicKeys(c.env, c.req.url));
app.route("/", tenantApp);
app.route("/node/v1", nodesApp({ secretsOf, settle: settleBeat }));
// An app of its own: one of its patterns would make hono look for every path, a completion's too, in a tree instead of a table.
app.all("/admin/v1/*", (c) => operatorApp.fetch(c.req.raw, c.env, c.executionCtx));

/** In the order in which they are told. HEAD is GET's, OPTIONS is wire/cors.ts's. */
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** A method nobody expects here is told apart from a path nobody serves. */
app.notFound((c) => {
  const { path } = c.req;
  const allowed = METHODS.filter((method) => app.router.match(method, path)[0].length > 0);
  const fault: Fault =
    allowed.length > 0
      ? { kind: "method_not_allowed", allow: allowed.join(", ") }
      : { kind: "not_found", what: new URL(c.req.url).pathname };
  return faultResponse(fault, newId());
});
app.onError((error) => answerError(error, newId()));
