/**
 * Upstreams: servers without a node of ours, enrolled as overflow. D1 is written, then the snapshot everybody reads; another
 * isolate may go on with the old one for about a minute, so a drained upstream may still get calls that long.
 *
 * The secret an upstream wants to see comes in here once and is never shown again: it is sealed before it is written, and no
 * answer has more of it than whether there is one.
 */
import { randomName, Region, UpstreamId } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import type { Env } from "../core/env.ts";
import { checkBaseUrl } from "../core/node-url.ts";
import type { Secrets } from "../core/secrets.ts";
import { sealedUnder, sealUpstreamKey, type KeyPlace } from "../core/upstream-key.ts";
import { DataPolicy, UpstreamFeature, UpstreamModel } from "../core/upstream.ts";
import { publishCatalogue } from "../db/catalogue.ts";
import { modelById } from "../db/models.ts";
import {
  changeUpstream,
  countUpstreams,
  insertUpstream,
  upstreamById,
  upstreamOf,
  UPSTREAMS_MAX,
  upstreamsPage,
  type UpstreamRow,
} from "../db/upstreams.ts";
import { Complaint, wrong } from "./complaint.ts";
import { Name, pathId, readInput, readPage, type AdminContext, type AdminEnv } from "./input.ts";

const ID_CHARS = 10;
const NONCE_BYTES = 12;
const MODELS_MAX = 32;
const EXTRA_CHARS_MAX = 2_048;
const CONCURRENCY_MAX = 10_000;

/** What may stand in a header behind "Bearer ". */
const ApiKey = z
  .string()
  .regex(/^[\u0021-\u007e]{1,512}$/, "is 1 to 512 printable characters without spaces")
  .nullable();

const CreateUpstream = z.strictObject({
  name: Name,
  region: Region,
  /** As OpenAI's SDKs take it: `/chat/completions` follows. */
  url: z.string().max(300),
  /** Null: it wants none. */
  apiKey: ApiKey,
  models: z
    .array(
      UpstreamModel.extend({
        thinks: z.boolean().default(false),
        extra: UpstreamModel.shape.extra.default({}),
      }),
    )
    .min(1)
    .max(MODELS_MAX)
    .refine((models) => JSON.stringify(models.map(({ extra }) => extra)).length <= EXTRA_CHARS_MAX, {
      error: `have more than ${EXTRA_CHARS_MAX} characters of extra fields`,
    }),
  features: z.array(UpstreamFeature).default([]),
  concurrency: z.int().min(1).max(CONCURRENCY_MAX),
  policy: DataPolicy.extend({ keptIn: Region.exactOptional() }),
});

const PutKey = z.strictObject({ apiKey: ApiKey });

export function upstreamRoutes(secretsOf: (env: Env) => Secrets): Hono<AdminEnv> {
  const routes = new Hono<AdminEnv>();

  const sealed = async (env: Env, place: KeyPlace, apiKey: string | null): Promise<string | null> => {
    if (apiKey === null) return null;
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    return sealUpstreamKey(secretsOf(env), place, apiKey, nonce);
  };

  routes.post("/", async (c) => {
    const { name, apiKey, policy, ...given } = await readInput(c, CreateUpstream);
    const checked = checkBaseUrl(given.url, c.env.SLUICE_DEV === "1");
    if (!checked.ok) throw wrong("url", checked.why);
    await mustBeModels(c.env, given.models);
    if ((await countUpstreams(c.env)) >= UPSTREAMS_MAX)
      throw new Complaint(
        "conflict",
        `there are ${UPSTREAMS_MAX} upstreams, which is as many as there may be`,
      );
    const id = `upstream_${randomName(ID_CHARS, crypto.getRandomValues(new Uint8Array(ID_CHARS)))}`;
    const upstream = {
      ...given,
      kind: "upstream",
      id,
      url: checked.url,
      sealedKey: await sealed(c.env, { id, url: checked.url }, apiKey),
      policy: { ...policy, keptIn: policy.keptIn ?? given.region },
    } as const;
    const nowMs = Date.now();
    await insertUpstream(c.env, upstream, { name, createdAtMs: nowMs });
    await publishCatalogue(c.env, nowMs);
    c.header("location", `/admin/v1/upstreams/${id}`);
    return c.json({ upstream: await printed(c.env, id) }, 201);
  });

  routes.get("/", async (c) => {
    const { rows, next } = await upstreamsPage(c.env, readPage(c));
    return c.json({ upstreams: rows.map(print), next });
  });

  routes.post("/:upstream/drain", (c) => change(c, () => ({ drainedAtMs: Date.now() })));
  routes.post("/:upstream/resume", (c) => change(c, () => ({ drainedAtMs: null })));
  routes.put("/:upstream/key", async (c) => {
    const { apiKey } = await readInput(c, PutKey);
    return change(c, async (row) => ({ sealedKey: await sealed(c.env, row, apiKey) }));
  });
  /** What runs there runs on. */
  routes.delete("/:upstream", (c) => change(c, () => ({ removedAtMs: Date.now(), sealedKey: null })));

  return routes;
}

type Change = Parameters<typeof changeUpstream>[2];

/** Changes the upstream of the path, unless it was removed. */
async function change(
  c: AdminContext,
  to: (row: UpstreamRow) => Change | Promise<Change>,
): Promise<Response> {
  const id = pathId(c, "upstream", UpstreamId, "upstream");
  const row = await upstreamById(c.env, id);
  if (row === undefined || row.removedAtMs !== null)
    throw new Complaint("not_found", "there is no such upstream");
  await changeUpstream(c.env, id, await to(row));
  await publishCatalogue(c.env, Date.now());
  return c.json({ upstream: await printed(c.env, id) });
}

async function mustBeModels(env: Env, models: readonly UpstreamModel[]): Promise<void> {
  const seen = new Set<string>();
  for (const [at, { model, thinks }] of models.entries()) {
    if ((await modelById(env, model)) === undefined)
      throw wrong(`models.${at}.model`, `"${model}" is no model here; name the model and not an alias`);
    const name = `${model} ${thinks}`;
    if (seen.has(name)) throw wrong(`models.${at}.model`, `"${model}" is there twice`);
    seen.add(name);
  }
}

async function printed(env: Env, id: string) {
  const row = await upstreamById(env, id);
  return row === undefined ? null : print(row);
}

function print(row: UpstreamRow) {
  const { kind: _, sealedKey, ...upstream } = upstreamOf(row);
  const { name, createdAtMs, drainedAtMs, removedAtMs } = row;
  return {
    ...upstream,
    name,
    state: removedAtMs !== null ? "removed" : drainedAtMs !== null ? "drained" : "offered",
    /** Under which secret of the deployment its own is sealed; null where it has none. */
    keySealedUnder: sealedKey === null ? null : sealedUnder(sealedKey),
    createdAtMs,
    drainedAtMs,
    removedAtMs,
  };
}
