/**
 * Who this node is: an Ed25519 key pair made here, and what the edge gave for it at enrolment. One file in the data
 * directory, readable by its owner alone, replaced as a whole so that a crash leaves the old or the new. The private
 * key never leaves it.
 */
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { fromBase64Url, toBase64Url } from "@sluice/protocol/bytes";
import { importCallKey, type CallKeys } from "@sluice/protocol/call";
import { CallKeyList } from "@sluice/protocol/enrol";
import { NodeId, Region } from "@sluice/protocol/ids";
import { z } from "zod";

const FILE = "identity.json";
const OWNER_ONLY = 0o600;

const Stored = z.object({
  privateKey: z.string(),
  publicKey: z.string().length(43),
  /** Absent until the edge has answered. */
  enrolled: z
    .object({
      node: NodeId,
      region: Region,
      edge: z.string(),
      /** Which join token it was, so that a new one is noticed; the token itself is of no more use. */
      joinTokenSha256: z.string(),
      callKeys: CallKeyList,
    })
    .optional(),
});
export type Stored = z.infer<typeof Stored>;
export type Enrolled = NonNullable<Stored["enrolled"]>;

export type Identity = {
  readonly node: string;
  readonly region: string;
  readonly publicKey: string;
  readonly privateKey: CryptoKey;
};

export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

export function makeKeys(): Stored {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "jwk" }).x;
  if (raw === undefined) throw new Error("an Ed25519 public key without its point");
  return { privateKey: toBase64Url(privateKey.export({ format: "der", type: "pkcs8" })), publicKey: raw };
}

export function importPrivateKey(text: string): Promise<CryptoKey> {
  const bytes = fromBase64Url(text);
  if (bytes === undefined) throw new TypeError(`${FILE}: the private key is damaged`);
  return crypto.subtle.importKey("pkcs8", bytes, "Ed25519", false, ["sign"]);
}

export async function importCallKeys(list: CallKeyList): Promise<CallKeys> {
  const keys = new Map<string, CryptoKey>();
  for (const { id, key } of list) {
    const bytes = fromBase64Url(key);
    if (bytes?.length === 32) keys.set(id, await importCallKey(bytes));
  }
  return keys;
}

/** Undefined where there is none yet. Throws where there is one that cannot be read: making a new one would hide it. */
export async function loadStored(dataDir: string): Promise<Stored | undefined> {
  const path = join(dataDir, FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return Stored.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(`${path} is damaged; restore it, or remove it and enrol again`, { cause });
  }
}

export async function saveStored(dataDir: string, stored: Stored): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, FILE);
  const draft = `${path}.new`;
  const file = await open(draft, "w", OWNER_ONLY);
  try {
    await file.chmod(OWNER_ONLY);
    await file.writeFile(`${JSON.stringify(stored, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
