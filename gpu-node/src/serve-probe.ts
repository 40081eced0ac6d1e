/**
 * Answers a probe (protocol/src/probe.ts): one token of the engine, through the same queue and slot a call takes, and nothing
 * else of one. Nothing is journalled, because nothing is handed over to a client; the metrics count it.
 * One at a time, and not more often than PROBE_INTERVAL_MIN_MS: whoever asks, it costs next to nothing.
 */
import { isFresh, verifyCall } from "@sluice/protocol/call";
import {
  PROBE_INTERVAL_MIN_MS,
  PROBE_MS_MAX,
  type ProbeAnswer,
  type ProbeFailure,
} from "@sluice/protocol/probe";
import type { Refusal } from "@sluice/protocol/refusal";
import { NEWEST } from "@sluice/protocol/version";
import type { EdgeSide } from "./edge-side.ts";
import type { Life } from "./life.ts";
import { LOADING, type Station } from "./station.ts";
import type { Sought, Workshop } from "./workshop.ts";

export type ProbeTools = { readonly workshop: Workshop; readonly life: Life; readonly edge: EdgeSide };
export type ProbeAsk = {
  readonly model: string;
  readonly askedAtMs: number;
  /** As it was sent, query included: the MAC is over it. */
  readonly path: string;
  readonly mac: string | undefined;
};
type Probed =
  | { readonly kind: "answer"; readonly answer: ProbeAnswer }
  | { readonly kind: "failure"; readonly failure: ProbeFailure }
  | { readonly kind: "refusal"; readonly refusal: Refusal };

const NO_BODY = new Uint8Array();
const TOO_SOON: Refusal = { kind: "queue_full", retryAfterMs: PROBE_INTERVAL_MIN_MS };

export class Prober {
  readonly #tools: ProbeTools;
  #begunAtMs = Number.NEGATIVE_INFINITY;
  #asking = false;

  constructor(tools: ProbeTools) {
    this.#tools = tools;
  }

  /** Never rejects. */
  async probe(ask: ProbeAsk): Promise<Probed> {
    const sought = await this.#seek(ask);
    if (!sought.ok) return { kind: "refusal", refusal: sought.refusal };
    this.#asking = true;
    try {
      return await this.#token(sought.station);
    } finally {
      this.#asking = false;
    }
  }

  /** Who is to make the token, or why nobody is. */
  async #seek({ model, askedAtMs, path, mac }: ProbeAsk): Promise<Sought> {
    const { workshop, life, edge } = this.#tools;
    const refuse = (refusal: Refusal): Sought => ({ ok: false, refusal });
    if (!(await verifyCall(edge.callKeys, mac, path, NO_BODY))) return refuse({ kind: "bad_mac" });
    const nowMs = edge.edgeNowMs;
    if (nowMs === undefined || life.refusal !== undefined) return refuse(life.refusal ?? LOADING);
    if (!isFresh(askedAtMs, nowMs)) return refuse({ kind: "stale", edgeTimeMs: nowMs });
    const sought = workshop.seek(model);
    if (!sought.ok) return sought;
    const sinceMs = workshop.now() - this.#begunAtMs;
    if (this.#asking || sinceMs < PROBE_INTERVAL_MIN_MS) return refuse(TOO_SOON);
    this.#begunAtMs = workshop.now();
    return sought;
  }

  async #token(station: Station): Promise<Probed> {
    const { workshop, edge } = this.#tools;
    const { model } = station;
    const place = station.enter();
    if ("refusal" in place) return { kind: "refusal", refusal: place.refusal };
    const fromMs = workshop.now();
    try {
      const tokens = await station.oneToken(AbortSignal.timeout(PROBE_MS_MAX));
      // No slot came free: others use the engine, which is as good a proof as any.
      if (tokens === undefined) return { kind: "refusal", refusal: TOO_SOON };
      const ms = Math.round(workshop.now() - fromMs);
      workshop.measures.noteProbe("answered");
      return { kind: "answer", answer: { v: NEWEST, boot: edge.boot, model, tokens, ms } };
    } catch (error) {
      const failed = isTimeout(error) ? "too_slow" : "engine_failed";
      workshop.measures.noteProbe(failed);
      workshop.log("probe_failed", { model, why: failed });
      return { kind: "failure", failure: { failed } };
    } finally {
      place.leave();
    }
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === "TimeoutError";
}
