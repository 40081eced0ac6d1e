/**
 * The node call: what the edge asks one node to do in one attempt, and how the node knows that it was the edge.
 *
 * On the wire it is one POST to the path of the client's dialect (`/v1/chat/completions`). The body is the head, a
 * line of JSON, a newline, and then the client's body byte for byte: unknown fields reach the engine untouched and the
 * edge never prints JSON again. `x-sluice-mac` is `<key id>:<HMAC-SHA256>` over version, path and the whole body, under
 * a key derived for that node alone: so the MAC binds the ceilings, the tag, the ticket, issued-at and the attempt, a
 * node cannot pose as the edge to another, and nothing is parsed before it is checked.
 *
 * Invariants:
 * - (request, ordinal) reaches a node's engine at most once. The node journals `begun` before its `accepted` leaves, so
 *   every end after that has a receipt; it remembers what it refused for as long as the call is valid, so a refused
 *   call cannot be played again either; and it takes no call issued before its own boot had its first beat answered.
 * - A node takes no call whose last valid moment (issued-at + CALL_VALID_MS) is at or before a `complete through` it has
 *   already promised.
 * - Of the client's body a node passes to its engine only fields it knows by name, and it sets isolation, stream, `n`,
 *   ceilings and model from the head, never from the body: extras of an engine (a cache salt, a priority, a remote
 *   host) are no client's business.
 */
import { z } from "zod";
import {
  concat,
  equalInConstantTime,
  fromBase64Url,
  fromUtf8,
  toBase64Url,
  utf8,
  type Bytes,
} from "./bytes.ts";
import { NodeId, RequestId, SecretId } from "./ids.ts";
import {
  ATTEMPTS_MAX,
  CALL_HEAD_BYTES_MAX,
  CALL_SKEW_MS,
  CALL_VALID_MS,
  TICKET_CHARS_MAX,
} from "./limits.ts";
import { Version } from "./version.ts";

export const MAC_HEADER = "x-sluice-mac";
export const CALL_CONTENT_TYPE = "application/x-sluice-call";

/** Where each dialect lives on a node: the path a client of the node alone would use. */
export const DIALECT_PATHS = {
  "openai.chat": "/v1/chat/completions",
  "openai.completion": "/v1/completions",
  "openai.embedding": "/v1/embeddings",
} as const;
export const Dialect = z.enum(["openai.chat", "openai.completion", "openai.embedding"]);
export type Dialect = z.infer<typeof Dialect>;

/** What an earlier attempt has already delivered: the next node continues from exactly there. */
export const Resume = z
  .object({
    /** Output positions already handed to the client; the first new one has this index. */
    from: z.int().min(1),
    /** Their token ids, in order, one per position. */
    tokens: z.array(z.int().min(0)),
    /** Prompt tokens and cached prompt tokens of the first attempt that produced a position: what will be billed. */
    prompt: z.int().min(0),
    cached: z.int().min(0),
    /** The weights under which these ids were made; a node with others refuses. Absent: the sender does not know. */
    weights: z.string().max(128).optional(),
  })
  .refine((resume) => resume.tokens.length === resume.from, {
    path: ["tokens"],
    error: "a resume carries one token per position delivered",
  });
export type Resume = z.infer<typeof Resume>;

export const CallHead = z.object({
  v: Version,
  request: RequestId,
  /** Which call of this request this is. Every call to a node has its own, a refused one too. */
  ordinal: z
    .int()
    .min(0)
    .max(ATTEMPTS_MAX - 1),
  node: NodeId,
  /** By the edge's clock. */
  issuedAtMs: z.int().min(0),
  dialect: Dialect,
  /** The id and creation time the node prints into the client's answer. */
  responseId: z.string().min(1).max(64),
  /** Decided once, at the edge: whether the client reads a stream. */
  stream: z.boolean(),
  createdS: z.int().min(0),
  /** The model as the node knows it... */
  model: z.string().min(1).max(128),
  /** ...and as the client asked for it, which is what the answer says. */
  modelAs: z.string().min(1).max(128),
  /** Thinking, where the client's body does not say: the alias decides. */
  thinkingDefault: z.boolean(),
  /** Whose prefixes may be reused: a MAC of account and `user_id`. */
  tag: z.string().min(1).max(64),
  /** Whom to be fair to: a MAC of the account alone. */
  lane: z.string().min(1).max(64),
  /** More prompt tokens than this is refused with `hold_too_small` before any GPU work. */
  promptCeiling: z.int().min(1),
  /** Output stops before this position (absolute, counted over all attempts) with `length`. */
  outputCeiling: z.int().min(1),
  resume: Resume.optional(),
  /** Sealed by the edge for itself; the node keeps it and gives it back in the receipt. */
  ticket: z.string().min(1).max(TICKET_CHARS_MAX),
});
export type CallHead = z.infer<typeof CallHead>;

/** The body of a node call. */
export function frameCall(head: CallHead, clientBody: Uint8Array): Bytes {
  return concat(utf8(JSON.stringify(head)), utf8("\n"), clientBody);
}

export type Unframed =
  | { readonly ok: true; readonly head: CallHead; readonly clientBody: Uint8Array }
  | { readonly ok: false; readonly why: "no_head" | "head_too_long" | "bad_head" | "unknown_version" };

/** Takes a body apart whose MAC has been checked. */
export function unframeCall(body: Uint8Array): Unframed {
  const end = body.indexOf(10);
  if (end < 0) return { ok: false, why: "no_head" };
  if (end > CALL_HEAD_BYTES_MAX) return { ok: false, why: "head_too_long" };
  let raw: unknown;
  try {
    raw = JSON.parse(fromUtf8(body.subarray(0, end)));
  } catch {
    return { ok: false, why: "bad_head" };
  }
  // The version first: what a head of another version looks like is not ours to judge.
  const versioned = z.object({ v: z.int() }).safeParse(raw);
  if (versioned.success && !Version.safeParse(versioned.data.v).success)
    return { ok: false, why: "unknown_version" };
  const head = CallHead.safeParse(raw);
  return head.success
    ? { ok: true, head: head.data, clientBody: body.subarray(end + 1) }
    : { ok: false, why: "bad_head" };
}

/** A node's call keys by secret id: the current one and, while it rotates, the one before. */
export type CallKeys = ReadonlyMap<string, CryptoKey>;

/** Imports 32 bytes as a call key. */
export function importCallKey(bytes: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

async function callMac(key: CryptoKey, path: string, body: Uint8Array): Promise<Bytes> {
  // The version is in the body, which is under the MAC too; this prefix separates calls from all else under the key.
  const message = concat(utf8(`sluice-call\n${path}\n`), body);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, message));
}

/** The value of the MAC header. */
export async function signCall(
  secretId: string,
  key: CryptoKey,
  path: string,
  body: Uint8Array,
): Promise<string> {
  return `${secretId}:${toBase64Url(await callMac(key, path, body))}`;
}

/** True where the header proves that the holder of one of `keys` sent this body to this path. */
export async function verifyCall(
  keys: CallKeys,
  header: string | undefined,
  path: string,
  body: Uint8Array,
): Promise<boolean> {
  const [secretId, mac, ...more] = (header ?? "").split(":");
  if (!SecretId.safeParse(secretId).success || mac === undefined || more.length > 0) return false;
  const key = keys.get(secretId ?? "");
  const claimed = fromBase64Url(mac);
  if (key === undefined || claimed === undefined) return false;
  return equalInConstantTime(claimed, await callMac(key, path, body));
}

/** Whether a call is in its ten seconds, by the node's estimate of the edge's clock. */
export function isFresh(issuedAtMs: number, edgeNowMs: number): boolean {
  return edgeNowMs <= issuedAtMs + CALL_VALID_MS && edgeNowMs >= issuedAtMs - CALL_SKEW_MS;
}
