/**
 * The deployment's secrets, and every key derived from them. One 32-byte secret per id is enough: HKDF gives each
 * purpose its own key, so that a node's call key says nothing about a ticket's, and neither about an API key's.
 * Each artefact names the secret it was made under, so a secret is replaced by adding a second one, making it current,
 * and dropping the first when nothing made under it is alive. Keys and names are made once per isolate: they depend on
 * the secrets alone.
 */
import { fromBase64Url, toBase64Url, utf8, type Bytes } from "@sluice/protocol/bytes";
import { importCallKey } from "@sluice/protocol/call";
import { SecretId } from "@sluice/protocol/ids";
import { importTicketKey } from "@sluice/protocol/ticket";
import { z } from "zod";
import { FaultError } from "./fault.ts";

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

/** Parsed once per isolate: the text only changes with a deployment. */
let parsed: { readonly text: string; readonly secrets: Secrets } | undefined;

/** Throws a FaultError `misconfigured`: a deployment without usable secrets serves nobody. */
export function secretsOf({ SLUICE_SECRETS: text }: { readonly SLUICE_SECRETS: string }): Secrets {
  if (parsed !== undefined && parsed.text === text) return parsed.secrets;
  try {
    parsed = { text, secrets: parseSecrets(text) };
  } catch (error) {
    throw new FaultError({
      kind: "misconfigured",
      what: error instanceof Error ? error.message : "SLUICE_SECRETS",
    });
  }
  return parsed.secrets;
}

export type Purpose =
  /** The checksum in an API key. */
  | "api-key"
  /** Node calls; the subject is the node. */
  | "node-call"
  /** Tickets; the subject is the node. */
  | "ticket"
  /** Isolation tags and lanes. */
  | "isolation-tag"
  /** Names of kept answers. */
  | "answer-name"
  /** Sealing of kept answers; mixed with the account's salt. */
  | "answer-seal"
  /** Sealing of the secrets that upstreams want to see; the subject is the upstream. */
  | "upstream-key";

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

/** What is made once per isolate from one set of secrets. Bounded: a deployment has few secrets and few nodes. */
const KEYS_MAX = 4_096;
const NAMES_MAX = 4_096;
type Made = {
  readonly keys: Map<string, Promise<CryptoKey | undefined>>;
  readonly names: Map<string, IsolationNames>;
};
const made = new WeakMap<Secrets, Made>();

function madeFrom(secrets: Secrets): Made {
  const known = made.get(secrets);
  if (known !== undefined) return known;
  const fresh: Made = { keys: new Map(), names: new Map() };
  made.set(secrets, fresh);
  return fresh;
}

/** Keys ready for use, by secret id, purpose and subject. */
function memoised(
  secrets: Secrets,
  secretId: string,
  purpose: Purpose,
  subject: string,
): Promise<CryptoKey | undefined> {
  if (!secrets.byId.has(secretId)) return Promise.resolve(undefined);
  const { keys } = madeFrom(secrets);
  const name = `${secretId} ${purpose} ${subject}`;
  const known = keys.get(name);
  if (known !== undefined) return known;
  if (keys.size >= KEYS_MAX) keys.clear();
  const key = derive(secrets, secretId, purpose, subject).then((bytes) => {
    if (bytes === undefined) return undefined;
    return purpose === "ticket" || purpose === "upstream-key" ? importTicketKey(bytes) : importCallKey(bytes);
  });
  keys.set(name, key);
  return key;
}

/** The HMAC key for calls to a node. */
export function callKey(secrets: Secrets, secretId: string, node: string): Promise<CryptoKey | undefined> {
  return memoised(secrets, secretId, "node-call", node);
}

/** The AES key for tickets that travel through a node. */
export function ticketKey(secrets: Secrets, secretId: string, node: string): Promise<CryptoKey | undefined> {
  return memoised(secrets, secretId, "ticket", node);
}

/** The AES key for the secret that an upstream wants to see. */
export function upstreamKeyKey(
  secrets: Secrets,
  secretId: string,
  upstream: string,
): Promise<CryptoKey | undefined> {
  return memoised(secrets, secretId, "upstream-key", upstream);
}

/** The HMAC key behind the checksum of API keys. */
export function apiKeyKey(secrets: Secrets, secretId: string): Promise<CryptoKey | undefined> {
  return memoised(secrets, secretId, "api-key", "");
}

export type IsolationNames = { readonly tag: string; readonly lane: string };

/** The HMAC key behind the names of kept answers, under the current secret. */
export async function answerNameKey(
  secrets: Secrets,
): Promise<{ readonly secretId: string; readonly hmac: CryptoKey }> {
  const hmac = await memoised(secrets, secrets.current, "answer-name", "");
  if (hmac === undefined) throw new Error("the current secret is not there");
  return { secretId: secrets.current, hmac };
}

/**
 * The names under which a node sees an account: `lane` for fairness, `tag` for the reuse of prefixes. Made under the
 * current secret, whose id they begin with: a rotation empties the prefix caches, which costs time and leaks nothing.
 */
export async function isolationNames(
  secrets: Secrets,
  account: string,
  userId: string | undefined,
): Promise<IsolationNames> {
  // The length keeps ("a", "b\nc") and ("a\nb", "c") apart; no user_id is not the same as an empty one.
  const whose = userId === undefined ? account : `${account}\n${account.length}\n${userId}`;
  const { names } = madeFrom(secrets);
  const known = names.get(whose);
  if (known !== undefined) return known;
  const key = await memoised(secrets, secrets.current, "isolation-tag", "");
  if (key === undefined) throw new Error("the current secret is not there");
  const name = async (text: string): Promise<string> => {
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8(text)));
    return `${secrets.current}-${toBase64Url(mac.subarray(0, 15))}`;
  };
  const made = { tag: await name(`tag\n${whose}`), lane: await name(`lane\n${account}`) };
  if (names.size >= NAMES_MAX) names.clear();
  names.set(whose, made);
  return made;
}
