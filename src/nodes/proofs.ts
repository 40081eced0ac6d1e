/**
 * A region's knowledge of which of its nodes make tokens, and the asking of those that nothing has proven lately. Memory of
 * the region's object, like its beats: an eviction forgets it, and the nodes are asked anew. Beats are its clock: who does
 * not beat is not asked. A few probes run at a time, one per node.
 */
import type { Beat } from "@sluice/protocol/beat";
import type { LiveNode, ModelProof } from "../core/node.ts";
import {
  afterBeat,
  afterProbe,
  afterReceipts,
  asked,
  IDLE_MS,
  probeDue,
  shownAs,
  suspected,
  type NodeProofs,
  type ProbeResult,
} from "./proof.ts";

const AT_ONCE_MAX = 4;
/** Receipts are read for their proof only where it is wanted: not while it is younger than this. */
const PROVEN_LATELY_MS = IDLE_MS / 4;

type Probable = Pick<LiveNode, "id" | "url" | "boot" | "callKeyIds" | "models" | "state">;

export class Proofs {
  readonly #proofs = new Map<string, NodeProofs>();
  readonly #probe: (node: Probable, model: string, nowMs: number) => Promise<ProbeResult>;
  #running = 0;

  constructor(probe: (node: Probable, model: string, nowMs: number) => Promise<ProbeResult>) {
    this.#probe = probe;
  }

  /** A beat of this node was taken. Resolves when what it gave occasion to is over. */
  heard(node: Probable, beat: Pick<Beat, "receipts">, nowMs: number): Promise<void> {
    const proofs = afterBeat(this.#proofs.get(node.id), node, nowMs);
    const isWanted = [...proofs.byModel.values()].some(
      ({ provenAtMs }) => nowMs - (provenAtMs ?? -Infinity) > PROVEN_LATELY_MS,
    );
    this.#proofs.set(node.id, isWanted ? afterReceipts(proofs, node.models, beat, nowMs) : proofs);
    return this.#askWhereDue(node, nowMs);
  }

  /** A Worker's call to this node, for this model, has failed. */
  suspect(node: Probable, model: string, nowMs: number): Promise<void> {
    const proofs = this.#proofs.get(node.id);
    if (proofs === undefined) return Promise.resolve();
    this.#proofs.set(node.id, suspected(proofs, model, nowMs));
    return this.#askWhereDue(node, nowMs);
  }

  /** By model; undefined where nothing is known. */
  shown(node: string): Readonly<Record<string, ModelProof>> | undefined {
    const proofs = this.#proofs.get(node);
    return proofs && shownAs(proofs);
  }

  forget(node: string): void {
    this.#proofs.delete(node);
  }

  async #askWhereDue(node: Probable, nowMs: number): Promise<void> {
    const proofs = this.#proofs.get(node.id);
    const model = proofs && probeDue(proofs, node, nowMs);
    if (proofs === undefined || model === undefined || this.#running >= AT_ONCE_MAX) return;
    this.#proofs.set(node.id, asked(proofs, model, nowMs));
    this.#running += 1;
    let result: ProbeResult = { kind: "untold" };
    try {
      result = await this.#probe(node, model, nowMs);
    } finally {
      this.#running -= 1;
      const now = this.#proofs.get(node.id);
      // What was asked of an earlier boot says nothing of this one.
      if (now?.boot === node.boot) this.#proofs.set(node.id, afterProbe(now, model, result, Date.now()));
    }
  }
}
