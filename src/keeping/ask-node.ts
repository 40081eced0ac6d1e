/**
 * A signed question to a node, without a body: what its journal says. A node that is away answers nothing, and that is no error. How
 * much it answers is bounded: nobody else's memory depends on it.
 */
import { MAC_HEADER, signCall } from "@sluice/protocol/call";
import { fromUtf8 } from "@sluice/protocol/bytes";
import type { z } from "zod";
import type { Env } from "../core/env.ts";
import { callKey, secretsOf } from "../core/secrets.ts";
import { nodeById } from "../db/registry.ts";
import { readBody } from "../wire/body.ts";

const NODE_WAIT_MS = 2_000;
/** A full list of a journal, each ticket as long as one may be, is 1.3 MB. */
export const NODE_ANSWER_BYTES_MAX = 2 * 1024 * 1024;
const NO_BODY = new Uint8Array();

/** Null: it knows of no such thing (404). Undefined: it is away, says what cannot be read, or says too much. */
export async function askNode<Schema extends z.ZodType>(
  env: Env,
  node: string,
  path: string,
  schema: Schema,
): Promise<z.output<Schema> | null | undefined> {
  const record = await nodeById(env, node);
  const secrets = secretsOf(env);
  const key = record === undefined ? undefined : await callKey(secrets, secrets.current, node);
  if (record === undefined || key === undefined) return undefined;
  try {
    const response = await fetch(new URL(path, record.url), {
      headers: {
        [MAC_HEADER]: await signCall(secrets.current, key, path, NO_BODY),
        "accept-encoding": "identity",
      },
      redirect: "manual",
      signal: AbortSignal.timeout(NODE_WAIT_MS),
    });
    if (response.status === 404) return null;
    const text = fromUtf8(await readBody(response, NODE_ANSWER_BYTES_MAX));
    const answer = schema.safeParse(JSON.parse(text));
    return answer.success ? answer.data : undefined;
  } catch {
    return undefined;
  }
}
