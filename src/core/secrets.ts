/**
 * The deployment's secrets, and every key derived from them. One 32-byte secret per id is enough: HKDF gives each
 * purpose its own key, so that a node's call key says nothing about a ticket's, and neither about an API key's.
 * Each artefact names the secret it was made under, so a secret is replaced by adding a second one, making it current,
 * and dropping the first when nothing made under it is alive. Imported keys are memoised per isolate: they depend on
 * the secrets alone.
 */
import { concat, fromBase64Url, toBase64Url, utf8, type Bytes } from "@sluice/protocol/bytes";
import { importCallKey } from "@sluice/protocol/call";
import { SecretId } from "@sluice/protocol/ids";
import { importTicketKey } from "@sluice/protocol/ticket";
import { z } from "zod";

const SecretsText = z.object({ current: SecretId, keys: z.record(SecretId, z.string()) });

export type Secrets = {
  readonly current: string;
  /** 32 bytes each, by id. */
  readonly byId: ReadonlyMap<string, Bytes>;
};

/** Throws, with what is wrong and never the secret itself, where the text is not usable: a deployment must not start. */
export function parseSecrets(text: string | undefined): Secrets {
  if (text === undefined || text === "") throw new Error("SLUICE_SECRETS is not set");
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new Error("SLUICE_SECRETS is not JSON");
  }
  const parsed = SecretsText.safeParse(raw);
  if (!parsed.success) throw new Error('SLUICE_SECRETS is not {"current": id, "keys": {id: secret}}');
  const byId = new Map<string, Bytes>();
  for (const [id, secret] of Object.entries(parsed.data.keys)) {
    const bytes = fromBase64Url(secret);
    if (bytes?.length !== 32) throw new Error(`SLUICE_SECRETS: secret ${id} is not 32 bytes of base64url`);
    byId.set(id, bytes);
  }
  if (!byId.has(parsed.data.current))
    throw new Error("SLUICE_SECRETS: the current secret is not among the keys");
  return { current: parsed.data.current, byId };
}

export type Purpose =
  /** The checksum in an API key. */
  | "api-key"
  /** Node calls; the subject is the node. */
  | "node-call"
  /** Tickets; the subject is the node. */
  | "ticket"
  /** Isolation tags and lanes. */
  | "isolation-tag";

/** 32 bytes for one purpose and subject; undefined where the deployment does not hold that secret (any more). */
export async function derive(
  secrets: Secrets,
  secretId: string,
  purpose: Purpose,
  subject = "",
): Promise<Bytes | undefined> {
  const secret = secrets.byId.get(secretId);
  if (secret === undefined) return undefined;
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const info = utf8(`sluice/1 ${purpose}\n${subject}`);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info },
    base,
    256,
  );
  return new Uint8Array(bits);
}

/** Keys ready for use, by secret text, purpose and subject. Bounded: a deployment has few secrets and few nodes. */
const KEYS_MAX = 4_096;
const keys = new Map<string, Promise<CryptoKey | undefined>>();

function memoised(
  secrets: Secrets,
  secretId: string,
  purpose: Purpose,
  subject: string,
): Promise<CryptoKey | undefined> {
  const secret = secrets.byId.get(secretId);
  if (secret === undefined) return Promise.resolve(undefined);
  const name = `${toBase64Url(secret)} ${purpose} ${subject}`;
  const known = keys.get(name);
  if (known !== undefined) return known;
  if (keys.size >= KEYS_MAX) keys.clear();
  const made = derive(secrets, secretId, purpose, subject).then((bytes) => {
    if (bytes === undefined) return undefined;
    return purpose === "ticket" ? importTicketKey(bytes) : importCallKey(bytes);
  });
  keys.set(name, made);
  return made;
}

/** The HMAC key for calls to a node. */
export function callKey(secrets: Secrets, secretId: string, node: string): Promise<CryptoKey | undefined> {
  return memoised(secrets, secretId, "node-call", node);
}

/** The AES key for tickets that travel through a node. */
export function ticketKey(secrets: Secrets, secretId: string, node: string): Promise<CryptoKey | undefined> {
  return memoised(secrets, secretId, "ticket", node);
}

/** The HMAC key behind the checksum of API keys. */
export function apiKeyKey(secrets: Secrets, secretId: string): Promise<CryptoKey | undefined> {
  return memoised(secrets, secretId, "api-key", "");
}

/**
 * The names under which a node sees an account: `lane` for fairness, `tag` for the reuse of prefixes. Made under the
 * current secret, whose id they begin with: a rotation empties the prefix caches, which costs time and leaks nothing.
 */
export async function isolationNames(
  secrets: Secrets,
  account: string,
  userId: string | undefined,
): Promise<{ readonly tag: string; readonly lane: string }> {
  const key = await memoised(secrets, secrets.current, "isolation-tag", "");
  if (key === undefined) throw new Error("the current secret is not there");
  const name = async (text: string): Promise<string> => {
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, concat(utf8(text))));
    return `${secrets.current}-${toBase64Url(mac.subarray(0, 15))}`;
  };
  const lane = await name(`lane\n${account}`);
  // The length keeps ("a", "b\nc") and ("a\nb", "c") apart; no user_id is not the same as an empty one.
  const tag =
    userId === undefined
      ? await name(`tag\n${account}`)
      : await name(`tag\n${account}\n${account.length}\n${userId}`);
  return { tag, lane };
}
