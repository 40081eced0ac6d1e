/**
 * The keys under which the edge calls a node, as that node is told them: at enrolment, and again in the reply to a beat
 * while it lacks the current one. So a rotated secret reaches every node within a second, with nobody's help.
 */
import { toBase64Url } from "@sluice/protocol/bytes";
import type { CallKeyList } from "@sluice/protocol/enrol";
import { derive, type Secrets } from "../core/secrets.ts";

/** The current secret, and the one it replaces. */
const CALL_KEYS_MAX = 2;

export async function callKeysOf(secrets: Secrets, node: string): Promise<CallKeyList> {
  const others = [...secrets.byId.keys()].filter((id) => id !== secrets.current);
  const keys: CallKeyList = [];
  for (const id of [secrets.current, ...others].slice(0, CALL_KEYS_MAX)) {
    const key = await derive(secrets, id, "node-call", node);
    if (key !== undefined) keys.push({ id, key: toBase64Url(key) });
  }
  return keys;
}

/** Call keys travel encrypted or not at all; a local run speaks to itself. */
export function mayCarrySecrets(request: Request, env: { readonly SLUICE_DEV?: string }): boolean {
  return env.SLUICE_DEV === "1" || new URL(request.url).protocol === "https:";
}
