/**
 * One probe of one node, over the way calls take: its url, its call key, its engine. Says what became of it; never rejects.
 */
import { MAC_HEADER, signCall } from "@sluice/protocol/call";
import { PROBE_MS_MAX, ProbeAnswer, ProbeFailure, probePath } from "@sluice/protocol/probe";
import { RefusalBody } from "@sluice/protocol/refusal";
import type { LiveNode } from "../core/node.ts";
import { logError } from "../core/log.ts";
import { callKey, type Secrets } from "../core/secrets.ts";
import type { ProbeResult } from "./proof.ts";
import { parseJson, readText } from "./signed-body.ts";

const ANSWER_BYTES_MAX = 4_096;
/** The node gives its engine less. */
const ANSWER_MS_MAX = PROBE_MS_MAX + 2_000;
const NO_BODY = new Uint8Array();
const UNTOLD: ProbeResult = { kind: "untold" };

export async function probe(
  secrets: Secrets,
  node: Pick<LiveNode, "id" | "url" | "boot" | "callKeyIds">,
  model: string,
  nowMs: number,
): Promise<ProbeResult> {
  const secretId = node.callKeyIds.find((id) => secrets.byId.has(id));
  try {
    const key = secretId === undefined ? undefined : await callKey(secrets, secretId, node.id);
    // It holds no key of ours yet: its next beat's reply brings one.
    if (secretId === undefined || key === undefined) return UNTOLD;
    const path = probePath(model, nowMs);
    const mac = await signCall(secretId, key, path, NO_BODY);
    return await ask(new URL(path, node.url), mac, node.boot);
  } catch (error) {
    // Nothing of this is the node's doing.
    logError("probe_not_made", error, { node: node.id });
    return UNTOLD;
  }
}

async function ask(url: URL, mac: string, boot: string): Promise<ProbeResult> {
  try {
    const response = await fetch(url, {
      headers: { [MAC_HEADER]: mac, "accept-encoding": "identity" },
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    return await read(response, boot);
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    return { kind: "failed", why: late ? "no_answer" : "not_reached" };
  }
}

async function read(response: Response, boot: string): Promise<ProbeResult> {
  const body = await readText(response, ANSWER_BYTES_MAX);
  const json = body.ok ? parseJson(body.text) : undefined;
  const answer = ProbeAnswer.safeParse(json).data;
  // Of another boot: that one is asked when its own beat is here.
  if (answer !== undefined) return answer.boot === boot ? { kind: "proven" } : UNTOLD;
  const failure = ProbeFailure.safeParse(json).data;
  if (failure !== undefined) return { kind: "failed", why: failure.failed };
  const refused = RefusalBody.safeParse(json).data;
  if (refused === undefined) return { kind: "failed", why: "not_a_node" };
  return refused.refusal.kind === "bad_mac" ? { kind: "failed", why: "bad_mac" } : UNTOLD;
}
