/**
 * One call to one node: seals its ticket, signs it, sends it, and says what came back. Knows nothing of rankings and
 * nothing of events: the answer's body is handed on as it is. Hosts come from the registry alone, redirects are not
 * followed, and no header of the client's goes along.
 */
import { concat, fromUtf8, type Bytes } from "@sluice/protocol/bytes";
import {
  CALL_CONTENT_TYPE,
  DIALECT_PATHS,
  frameCall,
  MAC_HEADER,
  signCall,
  type CallHead,
} from "@sluice/protocol/call";
import { RefusalBody, type Refusal } from "@sluice/protocol/refusal";
import { sealTicket, type Ticket } from "@sluice/protocol/ticket";
import { assert } from "../core/assert.ts";
import type { LiveNode } from "../core/node.ts";
import { callKey, ticketKey, type Secrets } from "../core/secrets.ts";

/** A refusal is a few hundred bytes; nothing else with an error status is read. */
const REFUSAL_BYTES_MAX = 16 * 1024;

export type NodeAnswer =
  | { readonly kind: "answering"; readonly body: ReadableStream<Uint8Array> }
  /** The node said no before it began: nothing was made, nothing will be billed. */
  | { readonly kind: "refused"; readonly refusal: Refusal }
  /** No connection, or an answer no node gives: whether the attempt began is not known. */
  | { readonly kind: "lost" };

/** Everything of a node call but what depends on the node's keys. */
export type NodeCall = {
  readonly node: LiveNode;
  readonly head: Omit<CallHead, "ticket">;
  readonly ticket: Ticket;
  readonly clientBody: Uint8Array;
};

/** Rejects only with the signal's reason. */
export async function callNode(
  secrets: Secrets,
  call: NodeCall,
  nonce: Bytes,
  signal: AbortSignal,
): Promise<NodeAnswer> {
  const { node } = call;
  const macSecretId = commonSecretId(secrets, node);
  const [seal, mac] = await Promise.all([
    ticketKey(secrets, secrets.current, node.id),
    callKey(secrets, macSecretId, node.id),
  ]);
  assert(seal !== undefined && mac !== undefined, "a secret of the deployment is among its secrets");
  const ticket = await sealTicket(secrets.current, seal, call.ticket, nonce);
  const body = frameCall({ ...call.head, ticket }, call.clientBody);
  const path = DIALECT_PATHS[call.head.dialect];
  const headers = {
    "content-type": CALL_CONTENT_TYPE,
    [MAC_HEADER]: await signCall(macSecretId, mac, path, body),
  };
  try {
    const response = await fetch(new URL(path, node.url), {
      method: "POST",
      headers,
      body,
      redirect: "manual",
      signal,
    });
    return await read(response);
  } catch {
    signal.throwIfAborted();
    return { kind: "lost" };
  }
}

/** The current secret where the node has its key already, else another both sides hold: so a rotation stops nothing. */
function commonSecretId(secrets: Secrets, node: LiveNode): string {
  if (node.callKeyIds.includes(secrets.current)) return secrets.current;
  return node.callKeyIds.find((id) => secrets.byId.has(id)) ?? secrets.current;
}

async function read(response: Response): Promise<NodeAnswer> {
  const { body } = response;
  if (response.status === 200 && body !== null) return { kind: "answering", body };
  if (response.status >= 400 && body !== null) {
    const refusal = RefusalBody.safeParse(await readJson(body));
    if (refusal.success) return { kind: "refused", refusal: refusal.data.refusal };
  }
  return { kind: "lost" };
}

/** The JSON in a short body, however it is framed on its way; undefined where it is none, or too long to be ours. */
async function readJson(body: ReadableStream<Uint8Array>): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.length;
    if (length > REFUSAL_BYTES_MAX) return undefined;
    parts.push(part);
  }
  try {
    return JSON.parse(fromUtf8(concat(...parts)));
  } catch {
    return undefined;
  }
}
