/**
 * A region's knowledge of which of its nodes make tokens, and the asking of those that nothing has proven lately. Memory of
 * the region's object, like its beats: an eviction forgets it, and the nodes are asked anew. Beats are its clock: who does
 * not beat is not asked. A few probes run at a time, one per node.
 */
import type { Beat } from "@sluice/protocol/beat";
import type { LiveNode, NodeProof } from "../core/node.ts";
import {
  afterBeat,
  afterProbe,
  afterTokens,
  asked,
  IDLE_MS,
  probeDue,
  provenBy,
  shownAs,
  suspected,
  type ProbeResult,
  type Proof,
} from "./proof.ts";

const AT_ONCE_MAX = 4;
/** Receipts are read for their proof only where it is wanted: not while it is younger than this. */
const PROVEN_LATELY_MS = IDLE_MS / 4;

type Probable = Pick<LiveNode, "id" | "url" | "boot" | "callKeyIds" | "models" | "state">;

export class Proofs {
  readonly #proofs = new Map<string, Proof>();
  readonly #probe: (node: Probable, model: string, nowMs: number) => Promise<ProbeResult>;
  #running = 0;

  constructor(probe: (node: Probable, model: string, nowMs: number) => Promise<ProbeResult>) {
    this.#probe = probe;
  }

  /** A beat of this node was taken. Resolves when what it gave occasion to is over. */
  heard(node: Probable, beat: Pick<Beat, "receipts">, nowMs: number): Promise<void> {
    let proof = afterBeat(this.#proofs.get(node.id), node.boot, nowMs);
    if (nowMs - (proof.provenAtMs ?? -Infinity) > PROVEN_LATELY_MS) {
      const atMs = provenBy(beat, nowMs);
      if (atMs !== undefined) proof = afterTokens(proof, atMs);
    }
    this.#proofs.set(node.id, proof);
    return this.#askWhereDue(node, nowMs);
  }

  /** A Worker's call to this node has failed. */
  suspect(node: Probable, nowMs: number): Promise<void> {
    const proof = this.#proofs.get(node.id);
    if (proof === undefined) return Promise.resolve();
    this.#proofs.set(node.id, suspected(proof, nowMs));
    return this.#askWhereDue(node, nowMs);
  }

  shown(node: string): NodeProof | undefined {
    const proof = this.#proofs.get(node);
    return proof && shownAs(proof);
  }

  forget(node: string): void {
    this.#proofs.delete(node);
  }

  async #askWhereDue(node: Probable, nowMs: number): Promise<void> {
    const proof = this.#proofs.get(node.id);
    const model = proof && probeDue(proof, node, nowMs);
    if (proof === undefined || model === undefined || this.#running >= AT_ONCE_MAX) return;
    this.#proofs.set(node.id, asked(proof, nowMs));
    this.#running += 1;
    try {
      const result = await this.#probe(node, model, nowMs);
      const now = this.#proofs.get(node.id);
      // What was asked of an earlier boot says nothing of this one.
      if (now?.boot === node.boot) this.#proofs.set(node.id, afterProbe(now, result, Date.now()));
    } finally {
      this.#running -= 1;
    }
  }
}
