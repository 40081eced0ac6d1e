/**
 * Nodes: invite a machine, see how the fleet is, drain, remove. D1 owns who is a node, so it is written first; the
 * region's object and the copies follow, and what fails to follow is mended by the node's next beat.
 */
import type { LiveNode } from "../core/node.ts";
import { regionPicture } from "../core/region-picture.ts";
import { readSketch } from "@sluice/protocol/sketch";
import { NodeId, randomName, Region } from "@sluice/protocol/ids";
import { Hono } from "hono";
import { z } from "zod";
import { regionObject, type Env, type RegionPicture } from "../core/env.ts";
import { logError } from "../core/log.ts";
import { checkNodeUrl } from "../core/node-url.ts";
import { within } from "../core/within.ts";
import { insertJoinToken, markRemoved, nodeById, nodesPage, recordOf, type NodeRow } from "../db/registry.ts";
import { writeNodeCopy } from "../nodes/known-node.ts";
import { Complaint, wrong } from "./complaint.ts";
import { Name, pathId, readInput, readPage, type AdminContext, type AdminEnv } from "./input.ts";

/** 32 letters of base 32: 160 bits. */
const TOKEN_CHARS = 32;
const TOKEN_TTL_DEFAULT_S = 24 * 3_600;
const TOKEN_TTL_MAX_S = 30 * 24 * 3_600;
const GRACE_DEFAULT_S = 300;
const GRACE_MAX_S = 24 * 3_600;
/** A list of nodes does not wait longer than this for a region that is away. */
const REGION_WAIT_MS = 2_000;

const CreateJoinToken = z.strictObject({
  name: Name,
  /** The operator's own name for a place. It becomes known when the first node of it enrols. */
  region: Region,
  /** Where the edge reaches the machine. The machine itself has no say in it. */
  url: z.string().max(300),
  expiresInS: z.int().min(60).max(TOKEN_TTL_MAX_S).default(TOKEN_TTL_DEFAULT_S),
});

const Drain = z.strictObject({
  /** How long what runs may go on. */
  graceS: z.int().min(0).max(GRACE_MAX_S).default(GRACE_DEFAULT_S),
});

const RemoveQuery = z.object({ force: z.enum(["true", "false"]).default("false") });

export const nodeRoutes = new Hono<AdminEnv>();

nodeRoutes.post("/join-tokens", async (c) => {
  const { name, region, url, expiresInS } = await readInput(c, CreateJoinToken);
  const checked = checkNodeUrl(url, c.env.SLUICE_DEV === "1");
  if (!checked.ok) throw wrong("url", checked.why);
  const token = `sluice-join-${randomName(TOKEN_CHARS, crypto.getRandomValues(new Uint8Array(TOKEN_CHARS)))}`;
  const row = { name, region, url: checked.url, expiresAtMs: Date.now() + expiresInS * 1_000 };
  await insertJoinToken(c.env, token, row);
  return c.json({ joinToken: token, ...row }, 201);
});

nodeRoutes.get("/", async (c) => {
  const { rows, next } = await nodesPage(c.env, readPage(c));
  const regions = new Set(rows.filter((row) => row.removedAtMs === null).map((row) => row.region));
  const live = new Map<string, LiveNode>();
  const views = await Promise.all([...regions].map((region) => liveIn(c.env, region)));
  for (const node of views.flatMap((view) => view.nodes)) live.set(node.id, node);
  const unreachable = views.filter((view) => !view.answered).map((view) => view.region);
  const nowMs = Date.now();
  return c.json({
    nodes: rows.map((row) => printNode(row, live.get(row.id), nowMs)),
    /** Regions whose object did not answer: their nodes may well be live. */
    regionsUnreachable: unreachable,
    next,
  });
});

nodeRoutes.post("/:node/drain", async (c) => {
  const { graceS } = await readInput(c, Drain);
  const deadlineMs = Date.now() + graceS * 1_000;
  const row = await drain(c, deadlineMs);
  return c.json({ id: row.id, draining: true, deadlineMs });
});

nodeRoutes.post("/:node/resume", async (c) => {
  const row = await drain(c, null);
  return c.json({ id: row.id, draining: false });
});

nodeRoutes.delete("/:node", async (c) => {
  const row = await nodeOf(c);
  const query = RemoveQuery.safeParse(c.req.query());
  if (!query.success) throw wrong("force", "is true or false");
  if (query.data.force === "false") await mustBeIdle(c.env, row);
  await markRemoved(c.env, row.id, Date.now());
  await regionObject(c.env, row.region).remove(row.id);
  await writeNodeCopy(c.env, recordOf(row), true);
  return c.json({ id: row.id, removed: true });
});

/** The node of the path, unless it was removed. */
async function nodeOf(c: AdminContext): Promise<NodeRow> {
  const row = await nodeById(c.env, pathId(c, "node", NodeId, "node"));
  if (row === undefined || row.removedAtMs !== null)
    throw new Complaint("not_found", "there is no such node");
  return row;
}

async function drain(c: AdminContext, deadlineMs: number | null): Promise<NodeRow> {
  const row = await nodeOf(c);
  const region = regionObject(c.env, row.region);
  if (await region.drain(row.id, deadlineMs)) return row;
  // Its enrolment got as far as D1 only.
  await region.put(recordOf(row));
  await region.drain(row.id, deadlineMs);
  return row;
}

async function mustBeIdle(env: Env, row: NodeRow): Promise<void> {
  const { nodes, awaited } = await liveIn(env, row.region);
  if (awaited.includes(row.id))
    throw new Complaint("conflict", "whether this node works is known in a second: ask again then");
  const live = nodes.find((node) => node.id === row.id);
  if (live !== undefined && live.load.slotsBusy + live.load.queued > 0)
    throw new Complaint("conflict", "this node is working: drain it first, or remove it with force=true");
}

const NOBODY: RegionPicture = { nodes: [], awaited: [] };

async function liveIn(
  env: Env,
  region: string,
): Promise<RegionPicture & { readonly region: string; readonly answered: boolean }> {
  try {
    const picture = await within(regionPicture(env, region), REGION_WAIT_MS);
    return { region, answered: picture !== undefined, ...(picture ?? NOBODY) };
  } catch (error) {
    logError("region_unreachable", error, { region });
    return { region, answered: false, ...NOBODY };
  }
}

function printNode(
  { id, name, region, url, createdAtMs, removedAtMs }: NodeRow,
  live: LiveNode | undefined,
  nowMs: number,
) {
  const now =
    live === undefined
      ? null
      : {
          state: live.state,
          boot: live.boot,
          beatAgeMs: Math.max(0, nowMs - live.beatAtMs),
          models: live.models,
          load: live.load,
          callKeyIds: live.callKeyIds,
          /** By model: when it last made a token, and what its probes say. */
          proofs: live.proofs ?? {},
          /** How much it says it has cached; null where it has not said. */
          sketchMarks: live.sketch === undefined ? null : readSketch(live.sketch).length,
        };
  return { id, name, region, url, createdAtMs, removedAtMs, live: now };
}
