/**
 * A machine that speaks the node protocol, and nothing else: its key pair, its enrolment, its beats. Requests go through
 * the real routes; settlement is a list that a test reads, because what is done with receipts is another room's matter.
 */
import { BEAT_PATH, NODE_HEADER, SIGNATURE_HEADER, type Beat } from "@sluice/protocol/beat";
import { toBase64Url } from "@sluice/protocol/bytes";
import { ENROL_PATH, EnrolAnswer } from "@sluice/protocol/enrol";
import { ulid } from "@sluice/protocol/ids";
import { signText, type Domain } from "@sluice/protocol/sign";
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import type { Env } from "../../../src/core/env.ts";
import { insertJoinToken } from "../../../src/db/registry.ts";
import type { SettleBeat } from "../../../src/nodes/beat.ts";
import { parseSecrets } from "../../../src/core/secrets.ts";
import { nodesApp } from "../../../src/nodes/app.ts";

/** What the routes handed over to be settled, newest last. */
export const settled: { node: string; receipts: number; renewals: number }[] = [];

const recordSettlement: SettleBeat = async (_env, node, _publicKey, beat) => {
  settled.push({ node: node.id, receipts: beat.receipts.length, renewals: beat.renew.length });
  const acks = beat.receipts.map(() => ({ request: `req_${"0".repeat(26)}`, ordinal: 0, choice: 0 }));
  return { acks, renewed: [], rejected: [] };
};

export const RECEIPT = { body: "{}", sig: "AA" };
export const RENEWAL = { ticket: "t1:AA", position: 3 };

const secretsOf = (bindings: Env) => parseSecrets(bindings.SLUICE_SECRETS);
const app = new Hono<{ Bindings: Env }>().route(
  "/node/v1",
  nodesApp({ secretsOf, settle: recordSettlement }),
);

export type Machine = { readonly publicKey: string; readonly privateKey: CryptoKey };

export async function machine(): Promise<Machine> {
  const pair = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
  const raw = (await crypto.subtle.exportKey("raw", pair.publicKey)) as ArrayBuffer;
  return { publicKey: toBase64Url(new Uint8Array(raw)), privateKey: pair.privateKey };
}

let tokens = 0;

export async function joinToken(
  changes: { region?: string; url?: string; expiresAtMs?: number } = {},
): Promise<string> {
  const token = `sluice-join-test-token-${String(tokens++).padStart(4, "0")}`;
  await insertJoinToken(env, token, {
    name: "gpu",
    region: "here",
    url: "https://gpu.example.com",
    expiresAtMs: Date.now() + 60_000,
    ...changes,
  });
  return token;
}

type Sent = {
  readonly domain?: Domain;
  readonly env?: Partial<Env>;
  readonly url?: string;
  readonly headers?: Record<string, string>;
};

async function post(path: string, by: Machine, body: string, sent: Sent): Promise<Response> {
  const signature = await signText(by.privateKey, sent.domain ?? "sluice-beat", body);
  const request = new Request(`${sent.url ?? "https://edge.example.com"}${path}`, {
    method: "POST",
    body,
    headers: { [SIGNATURE_HEADER]: signature, ...sent.headers },
  });
  return app.fetch(request, { ...env, ...sent.env });
}

export function enrol(by: Machine, token: string, sent: Sent = {}): Promise<Response> {
  const body = JSON.stringify({
    speaks: { min: 1, max: 1 },
    joinToken: token,
    publicKey: by.publicKey,
  });
  return post(ENROL_PATH, by, body, { domain: "sluice-enrol", ...sent });
}

export type TestNode = Machine & { readonly id: string; readonly region: string };

export async function enrolled(region = "here"): Promise<TestNode> {
  const by = await machine();
  const answer = EnrolAnswer.parse(await (await enrol(by, await joinToken({ region }))).json());
  return { ...by, id: answer.node, region: answer.region };
}

export function bootId(atMs: number): string {
  return `boot_${ulid(atMs, new Uint8Array(16))}`;
}

export const BOOT = bootId(1_000_000);

export function beatOf(node: string, changes: Partial<Beat> = {}): Beat {
  return {
    v: 1,
    speaks: { min: 1, max: 1 },
    node,
    boot: BOOT,
    seq: 1,
    sentAtMs: 1,
    state: "ready",
    models: [{ id: "tiny", weights: "w1", contextTokens: 2_048, features: [] }],
    load: {
      slots: 2,
      slotsBusy: 0,
      queued: 0,
      queueMax: 8,
      prefillTokensPending: 0,
      prefillTokensPerS: 0,
      decodeTokensPerS: 0,
      kvTokensFree: 4_096,
    },
    receipts: [],
    renew: [],
    completeThroughMs: 0,
    journalSinceMs: 0,
    callKeyIds: ["t1"],
    ...changes,
  };
}

export function sendBeat(node: TestNode, changes: Partial<Beat> = {}, sent: Sent = {}): Promise<Response> {
  return sendText(node, JSON.stringify(beatOf(node.id, changes)), sent);
}

export function sendText(node: TestNode, text: string, sent: Sent = {}): Promise<Response> {
  return post(BEAT_PATH, node, text, { headers: { [NODE_HEADER]: node.id }, ...sent });
}
