/**
 * The scripted upstream as a node of Sluice: it enrols with a join token, beats, and states every call it answered in a
 * signed receipt under the ticket that came with the call, until the edge has acknowledged it. So every request is
 * settled as a real node's would be. What it leaves out is what only protects a node: checking the edge's MAC, and a
 * journal. It therefore promises nothing in `completeThroughMs`.
 *
 * Signs with node:crypto, synchronously: several times cheaper here than the same through WebCrypto's thread pool.
 */
import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { BEAT_PATH, BeatReply, NODE_HEADER, SIGNATURE_HEADER, type Beat } from "@sluice/protocol/beat";
import { toBase64Url } from "@sluice/protocol/bytes";
import { ENROL_PATH, EnrolAnswer, type EnrolAsk } from "@sluice/protocol/enrol";
import { ulid } from "@sluice/protocol/ids";
import { BEAT_INTERVAL_MS, BEAT_RECEIPTS_MAX, BEATS_PER_SECOND_MAX } from "@sluice/protocol/limits";
import type { Ending, Receipt } from "@sluice/protocol/receipt";
import { NEWEST, SPOKEN } from "@sluice/protocol/version";
import { PROMPT_TOKENS, SCENES } from "../script.ts";

const GAP_MIN_MS = 1_000 / BEATS_PER_SECOND_MAX;
const CALL_MS = 10_000;
/** Receipts that no edge acknowledges stop the run long before this. */
const PENDING_MAX = 200_000;
const CONTEXT_TOKENS = 32_768;
/** Enough for any load of this bench: the question here is the edge, not a node's queue. */
const SLOTS = 4_096;

export type NodeCallFacts = {
  readonly request: string;
  readonly ordinal: number;
  readonly ticket: string;
  readonly issuedAtMs: number;
};

type Pending = { readonly name: string; readonly body: string; readonly sig: string };

export class NodeSide {
  readonly #edgeUrl: string;
  readonly #privateKey: KeyObject;
  readonly #publicKey: string;
  readonly #boot: string;
  readonly #journalSinceMs = Date.now();
  readonly #pending = new Map<string, Pending>();
  #node = "";
  #callKeyIds: readonly string[] = [];
  #seq = 0;
  #running = 0;
  #stopped = false;
  rejected = 0;

  constructor(edgeUrl: string) {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.#edgeUrl = edgeUrl;
    this.#privateKey = createPrivateKey(privateKey.export({ format: "pem", type: "pkcs8" }));
    this.#publicKey = publicKey.export({ format: "jwk" }).x ?? "";
    this.#boot = `boot_${ulid(Date.now(), crypto.getRandomValues(new Uint8Array(16)))}`;
  }

  #sign(domain: "sluice-receipt" | "sluice-beat" | "sluice-enrol", text: string): string {
    return toBase64Url(sign(null, Buffer.from(`${domain}\n${text}`), this.#privateKey));
  }

  async enrol(joinToken: string): Promise<string> {
    const ask: EnrolAsk = { speaks: SPOKEN, joinToken, publicKey: this.#publicKey };
    const body = JSON.stringify(ask);
    const text = await this.#post(ENROL_PATH, body, { [SIGNATURE_HEADER]: this.#sign("sluice-enrol", body) });
    const answer = EnrolAnswer.parse(JSON.parse(text));
    this.#node = answer.node;
    this.#callKeyIds = answer.callKeys.map(({ id }) => id);
    void this.#beatOn();
    return answer.node;
  }

  stop(): void {
    this.#stopped = true;
  }

  begin(): void {
    this.#running++;
  }

  /** An answer is over: from now on its receipt goes with every beat until it is acknowledged. */
  end(call: NodeCallFacts, to: number, ended: Ending): void {
    this.#running--;
    const nowMs = Date.now();
    const receipt: Receipt = {
      v: NEWEST,
      ticket: call.ticket,
      request: call.request,
      ordinal: call.ordinal,
      choice: 0,
      node: this.#node,
      boot: this.#boot,
      from: 0,
      to,
      ended,
      prompt: PROMPT_TOKENS,
      cached: 0,
      reasoning: 0,
      weights: "bench",
      begunAtMs: call.issuedAtMs,
      endedAtMs: Math.max(nowMs, call.issuedAtMs),
      queueMs: 0,
      prefillMs: 0,
    };
    if (this.#pending.size >= PENDING_MAX) throw new Error("the edge acknowledges nothing");
    const body = JSON.stringify(receipt);
    const name = `${call.request}/${call.ordinal}`;
    this.#pending.set(name, { name, body, sig: this.#sign("sluice-receipt", body) });
  }

  async #beatOn(): Promise<void> {
    let lastMs = -Infinity;
    while (!this.#stopped) {
      const dueMs = this.#pending.size > 0 ? GAP_MIN_MS : BEAT_INTERVAL_MS;
      if (performance.now() - lastMs >= dueMs) {
        lastMs = performance.now();
        try {
          await this.#beat();
        } catch (error) {
          process.stderr.write(`a beat failed: ${String(error)}\n`);
          await new Promise((resolve) => setTimeout(resolve, BEAT_INTERVAL_MS / 4));
        }
      }
      await new Promise((resolve) => setTimeout(resolve, GAP_MIN_MS / 5));
    }
  }

  async #beat(): Promise<void> {
    const receipts = [...this.#pending.values()].slice(0, BEAT_RECEIPTS_MAX);
    const beat: Beat = {
      v: NEWEST,
      speaks: SPOKEN,
      node: this.#node,
      boot: this.#boot,
      seq: this.#seq++,
      sentAtMs: Date.now(),
      state: "ready",
      models: Object.values(SCENES).map(({ model }) => ({
        id: model,
        weights: "bench",
        contextTokens: CONTEXT_TOKENS,
        features: [],
      })),
      load: {
        slots: SLOTS,
        slotsBusy: this.#running,
        queued: 0,
        queueMax: SLOTS,
        prefillTokensPending: 0,
        prefillTokensPerS: 100_000,
        decodeTokensPerS: 500,
        kvTokensFree: CONTEXT_TOKENS * SLOTS,
      },
      receipts: receipts.map(({ body, sig }) => ({ body, sig })),
      renew: [],
      completeThroughMs: 0,
      journalSinceMs: this.#journalSinceMs,
      callKeyIds: [...this.#callKeyIds],
    };
    const body = JSON.stringify(beat);
    const text = await this.#post(BEAT_PATH, body, {
      [NODE_HEADER]: this.#node,
      [SIGNATURE_HEADER]: this.#sign("sluice-beat", body),
    });
    const reply = BeatReply.parse(JSON.parse(text));
    for (const { request, ordinal } of reply.acks) this.#pending.delete(`${request}/${ordinal}`);
    this.rejected += reply.rejected.length;
    if (reply.callKeys !== undefined) this.#callKeyIds = reply.callKeys.map(({ id }) => id);
  }

  async #post(path: string, body: string, headers: Readonly<Record<string, string>>): Promise<string> {
    const response = await fetch(new URL(path, this.#edgeUrl), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
      signal: AbortSignal.timeout(CALL_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 300)}`);
    return text;
  }
}
