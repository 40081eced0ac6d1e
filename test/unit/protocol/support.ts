/** Messages of the protocol as the tests use them: one good example of each, and keys to sign and seal with. */
import { utf8, type Bytes } from "@sluice/protocol/bytes";
import type { CallHead } from "@sluice/protocol/call";
import type { Receipt } from "@sluice/protocol/receipt";
import type { Ticket } from "@sluice/protocol/ticket";

export const REQUEST = "req_01JD8Z0K3V9QXR5T7W2Y4A6C8E";
export const NODE = "node_4k2mz81qpx";
export const OTHER_NODE = "node_7h3nv95rsw";

export const head: CallHead = {
  v: 1,
  request: REQUEST,
  ordinal: 0,
  node: NODE,
  issuedAtMs: 1_790_000_000_000,
  dialect: "openai.chat",
  responseId: "chatcmpl-01JD8Z0K3V9QXR5T7W2Y4A6C8E",
  createdS: 1_790_000_000,
  model: "sluice-tiny",
  modelAs: "deepseek-chat",
  stream: true,
  thinkingDefault: false,
  tag: "k1-q83vEjRWeJCrze8S",
  lane: "k1-EjRWeJCrze8SNFZ4",
  promptCeiling: 120,
  outputCeiling: 256,
  ticket: "k1:c2VhbGVk",
};

export const ticket: Ticket = {
  v: 1,
  account: "acc_any_0123456789ab",
  key: "key_0123456789",
  request: REQUEST,
  ordinal: 0,
  node: NODE,
  region: "eu-west",
  model: "sluice-tiny",
  from: 0,
  prompt: 0,
  cached: 0,
  promptCeiling: 120,
  outputCeiling: 256,
  issuedAtMs: 1_790_000_000_000,
  price: {
    id: "price_1",
    inputMicroUsdPerM: 100_000,
    cachedMicroUsdPerM: 10_000,
    outputMicroUsdPerM: 400_000,
  },
};

export const receipt: Receipt = {
  v: 1,
  ticket: "k1:c2VhbGVk",
  request: REQUEST,
  ordinal: 0,
  choice: 0,
  node: NODE,
  boot: "boot_01JD8Z0K3V9QXR5T7W2Y4A6C8E",
  from: 0,
  to: 34,
  ended: "stop",
  prompt: 24,
  cached: 8,
  reasoning: 0,
  weights: "sha256-2c26b46b68ffc68f",
  begunAtMs: 1_790_000_000_020,
  endedAtMs: 1_790_000_000_420,
  queueMs: 0,
  prefillMs: 12,
};

/** 32 bytes that depend on the word alone. */
export async function secretOf(word: string): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(word)));
}

export async function keyPair(): Promise<{ privateKey: CryptoKey; publicKey: CryptoKey }> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new Error("Ed25519 makes key pairs");
  return pair;
}

/** The bytes with one bit of one byte turned. */
export function flip(bytes: Uint8Array, at: number): Bytes {
  const copy = new Uint8Array(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
