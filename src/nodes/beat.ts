/**
 * POST /node/v1/beat. Cheap checks first: headers, who the node is, the size of the body, its signature; only then is
 * anything parsed. Then the region's object hears the beat, and its receipts are settled.
 *
 * Fencing is about routing and commands, not about money. A receipt is idempotent and signed by a key that was once
 * registered, so it is settled from whoever brings it: a removed node, an older boot, a beat that was overtaken. Only
 * renewals need the newest word: a repeated beat must not keep a hold open. Every refusal after the signature
 * therefore still carries the acknowledgements. And neither half waits for the other's health: a region's object that
 * is away delays no receipt for longer than REGION_WAIT_MS, and a settlement that fails leaves the beat heard, with
 * nothing acknowledged, so that the node sends its receipts again.
 */
import { Beat, NODE_HEADER, SIGNATURE_HEADER, type BeatReply, type Command } from "@sluice/protocol/beat";
import type { CallKeyList } from "@sluice/protocol/enrol";
import { NodeId } from "@sluice/protocol/ids";
import { BEAT_BYTES_MAX } from "@sluice/protocol/limits";
import { verifyText } from "@sluice/protocol/sign";
import { negotiate, SPOKEN, VersionRange } from "@sluice/protocol/version";
import { z } from "zod";
import { regionObject, type Env } from "../core/env.ts";
import { logError } from "../core/log.ts";
import type { NodeRecord } from "../core/node.ts";
import type { Secrets } from "../core/secrets.ts";
import { callKeysOf, mayCarrySecrets } from "./call-keys.ts";
import { findNode, readNode, type KnownNode } from "./known-node.ts";
import { RECEIPTS_READ } from "./proof.ts";
import { refuse } from "./refuse.ts";
import { parseJson, readText } from "./signed-body.ts";
import { within } from "../core/within.ts";

/** Receipts do not wait longer than this for the region's object. */
const REGION_WAIT_MS = 2_000;

export type Settled = Pick<BeatReply, "acks" | "renewed" | "rejected">;

/** Checks receipts and tickets and hands them to the accounts' objects. The composition root passes it in. */
export type SettleBeat = (env: Env, node: NodeRecord, publicKey: CryptoKey, beat: Beat) => Promise<Settled>;

const NOTHING_SETTLED: Settled = { acks: [], renewed: [], rejected: [] };

/** What the region's object made of a beat. */
type Heard =
  | { readonly kind: "heard"; readonly commands: Command[]; readonly saySketch?: boolean | undefined }
  | { readonly kind: "stale" }
  | { readonly kind: "removed" }
  /** It did not answer: the beat counts for money and not for routing. */
  | { readonly kind: "away" };

const Speaks = z.object({ speaks: VersionRange });

export async function takeBeat(
  env: Env,
  request: Request,
  { secretsOf, settle }: { readonly secretsOf: (env: Env) => Secrets; readonly settle: SettleBeat },
): Promise<Response> {
  const receivedAtMs = Date.now();
  const nodeId = NodeId.safeParse(request.headers.get(NODE_HEADER));
  const signature = request.headers.get(SIGNATURE_HEADER);
  if (!nodeId.success || signature === null)
    return refuse("unauthenticated", `a beat carries ${NODE_HEADER} and ${SIGNATURE_HEADER}`);
  const node = await findNode(env, nodeId.data, receivedAtMs);
  if (node === undefined) return refuse("unknown_node", "no such node was ever enrolled here");

  const body = await readText(request, BEAT_BYTES_MAX);
  if (!body.ok) {
    if (body.why === "too_large") return refuse("too_large", `a beat has at most ${BEAT_BYTES_MAX} bytes`);
    if (body.why === "too_slow") return refuse("too_slow", "the beat did not arrive in time");
    return refuse("malformed", "the beat could not be read");
  }
  if (!(await verifyText(node.publicKey, "sluice-beat", body.text, signature)))
    return refuse("unauthenticated", "the signature is not this node's over this body");

  const raw = parseJson(body.text);
  const v = negotiate(SPOKEN, Speaks.safeParse(raw).data?.speaks ?? SPOKEN);
  if (v === undefined)
    return refuse("unknown_version", `this edge speaks versions ${SPOKEN.min} to ${SPOKEN.max}`);
  const parsed = Beat.safeParse(raw);
  if (!parsed.success) return refuse("malformed", z.prettifyError(parsed.error).slice(0, 1_000));
  const beat = parsed.data;
  if (beat.node !== node.record.id) return refuse("unauthenticated", "the beat names another node");

  const heard = await hear(env, node, beat, receivedAtMs);
  const current = heard.kind === "heard" || heard.kind === "away";
  // What a removed node still runs is still to be billed: its renewals keep those holds, whatever else it says is void.
  const renews = current || heard.kind === "removed";
  const settled = await settleSafely(env, settle, node, renews ? beat : { ...beat, renew: [] });
  const callKeys =
    current && mayCarrySecrets(request, env) ? await callKeysDue(secretsOf(env), beat) : undefined;
  const reply: BeatReply = {
    v,
    edgeTimeMs: Date.now(),
    ...settled,
    commands: heard.kind === "heard" ? heard.commands : [],
    ...(heard.kind === "heard" && heard.saySketch ? { saySketch: true } : {}),
    ...(callKeys === undefined ? {} : { callKeys }),
  };
  return answer(reply, heard);
}

const REFUSALS = {
  stale: { status: 409, message: "a newer beat or boot of this node was heard before; receipts were taken" },
  removed: { status: 403, message: "this node was removed and gets no more calls; receipts were taken" },
} as const;

function answer(reply: BeatReply, heard: Heard): Response {
  const headers = { "cache-control": "no-store" };
  if (heard.kind === "heard" || heard.kind === "away") return Response.json(reply, { headers });
  const { status, message } = REFUSALS[heard.kind];
  return Response.json({ ...reply, error: { code: heard.kind, message } }, { status, headers });
}

/** The node's call keys, where it lacks the one the edge would rather use. */
async function callKeysDue(secrets: Secrets, beat: Beat): Promise<CallKeyList | undefined> {
  if (beat.callKeyIds.includes(secrets.current)) return undefined;
  return callKeysOf(secrets, beat.node);
}

async function hear(env: Env, node: KnownNode, beat: Beat, receivedAtMs: number): Promise<Heard> {
  try {
    const heard = await within(tell(env, node, beat, receivedAtMs), REGION_WAIT_MS);
    return heard ?? { kind: "away" };
  } catch (error) {
    logError("region_unreachable", error, { node: beat.node, region: node.record.region });
    return { kind: "away" };
  }
}

async function tell(env: Env, node: KnownNode, beat: Beat, receivedAtMs: number): Promise<Heard> {
  const region = regionObject(env, node.record.region);
  // Receipts and renewals are the accounts' business, and would be most of what is copied to the object: it is shown as many
  // receipts as it reads, to know that the node makes tokens.
  const shown = { ...beat, receipts: beat.receipts.slice(-RECEIPTS_READ), renew: [] };
  // Usually known there. Said again in case the removal reached D1 and not the object.
  if (node.removed) await region.remove(beat.node);
  const first = await region.beat(shown, receivedAtMs);
  if (first.ok) return { kind: "heard", commands: first.commands, saySketch: first.saySketch };
  if (first.why === "stale") return { kind: "stale" };
  // The object does not know the node: it was removed, or its enrolment got as far as D1 only.
  const registered = node.removed ? node : await readNode(env, beat.node, receivedAtMs);
  if (registered === undefined || registered.removed) return { kind: "removed" };
  await region.put(registered.record);
  const second = await region.beat(shown, receivedAtMs);
  return second.ok ? { kind: "heard", commands: second.commands } : { kind: "stale" };
}

async function settleSafely(env: Env, settle: SettleBeat, node: KnownNode, beat: Beat): Promise<Settled> {
  if (beat.receipts.length === 0 && beat.renew.length === 0) return NOTHING_SETTLED;
  try {
    return await settle(env, node.record, node.publicKey, beat);
  } catch (error) {
    logError("settlement_failed", error, { node: beat.node, receipts: beat.receipts.length });
    return NOTHING_SETTLED;
  }
}
