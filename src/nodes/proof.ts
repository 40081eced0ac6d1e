/**
 * Whether a node is known to make tokens, and when it is to be asked. Pure.
 *
 * A beat proves that a process lives, no more: its engine may hang, and the url an admin gave may lead nowhere. What
 * proves a node is a token: one that a client got (a receipt says so), or, where no client came by for a while, one made for
 * a probe. Who is proven by traffic is not probed. A node is asked
 *
 *   - soon after a boot of it says that it is ready;
 *   - when nothing has proven it for IDLE_MS;
 *   - at once when a Worker's call to it has failed (`suspected`), and then with growing pauses until it answers.
 *
 * A node whose probe failed comes last everywhere (routing/choose.ts), until a token proves it. One that would not say (it is
 * busy, or draining) is as it was.
 */
import type { Beat, ServedModel } from "@sluice/protocol/beat";
import { PROBE_FEATURE } from "@sluice/protocol/probe";
import { isNatural, Receipt } from "@sluice/protocol/receipt";
import type { NodeProof } from "../core/node.ts";

/** A node that has made a token within this time needs no probe. */
export const IDLE_MS = 60_000;
/** After a boot is ready: the first calls may prove it before a probe does. */
const FIRST_MS = 2_000;
/** Never sooner after the one before, whatever is suspected. */
const GAP_MIN_MS = 2_000;
const FAILED_MAX_MS = 60_000;
/** Of a beat's receipts, the newest so many are looked at: any one will do. */
const RECEIPTS_READ = 4;
/** After an answer that says nothing. */
const UNTOLD_MS = 10_000;

export type ProbeResult =
  | { readonly kind: "proven" }
  | { readonly kind: "failed"; readonly why: string }
  /** It was there and would not try. */
  | { readonly kind: "untold" };

export type Proof = {
  readonly boot: string;
  /** The last token known of; null: none of this boot. */
  readonly provenAtMs: number | null;
  /** Probes in vain since then. */
  readonly failures: number;
  readonly why: string | undefined;
  readonly failedSinceMs: number | undefined;
  readonly askedAtMs: number;
  /** Not to be asked before. */
  readonly askAtMs: number;
  readonly asking: boolean;
  /** How often it was asked and answered: models take turns. */
  readonly turn: number;
};

export function unproven(boot: string, nowMs: number): Proof {
  return {
    boot,
    provenAtMs: null,
    failures: 0,
    why: undefined,
    failedSinceMs: undefined,
    askedAtMs: -Infinity,
    askAtMs: nowMs + FIRST_MS,
    asking: false,
    turn: 0,
  };
}

/** As a beat leaves it: another boot has to be proven anew. */
export function afterBeat(proof: Proof | undefined, boot: string, nowMs: number): Proof {
  return proof?.boot === boot ? proof : unproven(boot, nowMs);
}

/** Somebody got tokens of it at that moment. What is older than its last failing proves nothing. */
export function afterTokens(proof: Proof, atMs: number): Proof {
  const provenAtMs = Math.max(atMs, proof.provenAtMs ?? atMs);
  if (proof.failures > 0 && atMs <= proof.askedAtMs) return { ...proof, provenAtMs };
  const well = { failures: 0, why: undefined, failedSinceMs: undefined };
  return { ...proof, ...well, provenAtMs, askAtMs: provenAtMs + IDLE_MS };
}

/** When the newest answer ended that these receipts tell of; undefined where none of them is of a whole answer. */
export function provenBy({ receipts }: Pick<Beat, "receipts">, nowMs: number): number | undefined {
  const ends = receipts.slice(-RECEIPTS_READ).flatMap(({ body }) => {
    const receipt = Receipt.safeParse(jsonOf(body)).data;
    if (receipt === undefined || !isNatural(receipt.ended) || receipt.to <= receipt.from) return [];
    return [Math.min(receipt.endedAtMs, nowMs)];
  });
  return ends.length === 0 ? undefined : Math.max(...ends);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As the world sees it; undefined where there is nothing to see. */
export function shownAs({ provenAtMs, failures, why, failedSinceMs }: Proof): NodeProof | undefined {
  if (failures === 0 || failedSinceMs === undefined) return provenAtMs === null ? undefined : { provenAtMs };
  return { provenAtMs, failing: { sinceMs: failedSinceMs, probes: failures, why: why ?? "" } };
}

/** A Worker's call to it has failed. */
export function suspected(proof: Proof, nowMs: number): Proof {
  return { ...proof, askAtMs: Math.min(proof.askAtMs, Math.max(nowMs, proof.askedAtMs + GAP_MIN_MS)) };
}

export function asked(proof: Proof, nowMs: number): Proof {
  return { ...proof, asking: true, askedAtMs: nowMs };
}

export function afterProbe(proof: Proof, result: ProbeResult, nowMs: number): Proof {
  const told = { ...proof, asking: false };
  switch (result.kind) {
    case "proven":
      return afterTokens({ ...told, turn: proof.turn + 1 }, nowMs);
    case "untold":
      return { ...told, askAtMs: nowMs + UNTOLD_MS };
    case "failed": {
      const failures = proof.failures + 1;
      const pauseMs = Math.min(FAILED_MAX_MS, GAP_MIN_MS * 2 ** Math.min(failures - 1, 16));
      const failedSinceMs = proof.failedSinceMs ?? nowMs;
      return { ...told, failures, why: result.why, failedSinceMs, askAtMs: nowMs + pauseMs };
    }
  }
}

/** The model to ask for a token of: one that failed again, else each in turn. Undefined where the node is not to be asked now. */
export function probeDue(
  proof: Proof,
  node: { readonly state: string; readonly models: readonly ServedModel[] },
  nowMs: number,
): string | undefined {
  if (node.state !== "ready" || proof.asking || nowMs < proof.askAtMs) return undefined;
  const models = node.models.filter(({ features }) => features.includes(PROBE_FEATURE));
  return models[proof.turn % Math.max(1, models.length)]?.id;
}
