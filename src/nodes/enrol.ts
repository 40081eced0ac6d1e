/**
 * POST /node/v1/enrol: a machine that shows a join token becomes the node the token was made for. What it is called,
 * where it is reached and in which region, the admin decided when the token was made; the machine only brings its
 * public key, and proves by its signature that it holds the other half.
 *
 * The answer carries the node's call keys, so it leaves over https alone. Asking again with the same token and key gives
 * the same answer, with the call keys of today: that is also how a node learns of a secret that was rotated in.
 */
import { EnrolAsk, type EnrolAnswer } from "@sluice/protocol/enrol";
import { SIGNATURE_HEADER } from "@sluice/protocol/beat";
import { randomName } from "@sluice/protocol/ids";
import { importPublicKey, verifyText } from "@sluice/protocol/sign";
import { negotiate, SPOKEN } from "@sluice/protocol/version";
import { z } from "zod";
import { regionObject, type Env } from "../core/env.ts";
import type { Secrets } from "../core/secrets.ts";
import { PerSecond } from "../core/per-second.ts";
import { publishCatalogue } from "../db/catalogue.ts";
import { claimJoinToken, type Claim } from "../db/registry.ts";
import { callKeysOf, mayCarrySecrets } from "./call-keys.ts";
import { writeNodeCopy } from "./known-node.ts";
import { refuse } from "./refuse.ts";
import { parseJson, readText } from "./signed-body.ts";

const ENROL_BYTES_MAX = 4_096;
const NODE_NAME_CHARS = 10;

const TOKEN_REFUSALS: { readonly [Why in Exclude<Claim, { ok: true }>["why"]]: string } = {
  unknown_token: "this join token is not known here; make a new one",
  expired: "this join token has expired; make a new one",
  taken: "this join token was used by another machine's key; make a new one",
  removed: "the node of this join token was removed; make a new one",
};

/** A join token is looked up in D1, and anybody can invent one and sign for it. */
const ENROLMENTS_PER_SECOND_MAX = 50;
const enrolments = new PerSecond(ENROLMENTS_PER_SECOND_MAX);

export async function takeEnrol(
  env: Env,
  request: Request,
  { secretsOf }: { readonly secretsOf: (env: Env) => Secrets },
): Promise<Response> {
  if (!mayCarrySecrets(request, env)) return refuse("insecure", "enrol over https: the answer holds secrets");
  const body = await readText(request, ENROL_BYTES_MAX);
  if (!body.ok) {
    if (body.why === "too_large")
      return refuse("too_large", `an enrolment has at most ${ENROL_BYTES_MAX} bytes`);
    if (body.why === "too_slow") return refuse("too_slow", "the enrolment did not arrive in time");
    return refuse("malformed", "the enrolment could not be read");
  }
  const parsed = EnrolAsk.safeParse(parseJson(body.text));
  if (!parsed.success) return refuse("malformed", z.prettifyError(parsed.error).slice(0, 1_000));
  const ask = parsed.data;
  const v = negotiate(SPOKEN, ask.speaks);
  if (v === undefined)
    return refuse("unknown_version", `this edge speaks versions ${SPOKEN.min} to ${SPOKEN.max}`);
  if (!(await holdsKey(ask.publicKey, body.text, request.headers.get(SIGNATURE_HEADER))))
    return refuse("unauthenticated", "the signature is not that key's over this body");

  const nowMs = Date.now();
  if (!enrolments.take(nowMs))
    return refuse("unavailable", "too many enrol here at once; try again in a moment");
  const dice = crypto.getRandomValues(new Uint8Array(NODE_NAME_CHARS));
  const claim = await claimJoinToken(env, {
    token: ask.joinToken,
    publicKey: ask.publicKey,
    nodeId: `node_${randomName(NODE_NAME_CHARS, dice)}`,
    nowMs,
  });
  if (!claim.ok) return refuse("token_refused", TOKEN_REFUSALS[claim.why]);
  const { node } = claim;
  // D1 has it; the object and the copies follow. If one of them fails, the machine asks again and they are written then.
  await regionObject(env, node.region).put(node);
  await Promise.all([writeNodeCopy(env, node, false), publishCatalogue(env, nowMs)]);
  const answer: EnrolAnswer = {
    v,
    node: node.id,
    region: node.region,
    edgeTimeMs: Date.now(),
    callKeys: await callKeysOf(secretsOf(env), node.id),
  };
  return Response.json(answer, { headers: { "cache-control": "no-store" } });
}

async function holdsKey(publicKey: string, text: string, signature: string | null): Promise<boolean> {
  if (signature === null) return false;
  try {
    return await verifyText(await importPublicKey(publicKey), "sluice-enrol", text, signature);
  } catch {
    // Not a key at all.
    return false;
  }
}
