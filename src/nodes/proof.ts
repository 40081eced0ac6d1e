/**
 * Whether a node is known to make tokens, model by model, and when it is to be asked. Pure.
 *
 * A beat proves that a process lives, no more: its engine may hang, and the url an admin gave may lead nowhere. What
 * proves a node is a token: one that a client got (a receipt says so), or, where no client came by for a while, one made for
 * a probe. Who is proven by traffic is not probed. Each model has an engine of its own, so a token proves one model and no other. It is asked
 * for
 *
 *   - soon after a boot of the node says that it is ready, or that it serves this model;
 *   - when nothing has proven it for IDLE_MS;
 *   - at once when a Worker's call for it has failed (`suspected`), and then with growing pauses until it answers.
 *
 * For a model whose probe failed the node comes last everywhere (routing/choose.ts), until a token proves it. One that would not say (it
 * is busy, or draining) is as it was.
 */
import type { Beat, ServedModel } from "@sluice/protocol/beat";
import { PROBE_FEATURE } from "@sluice/protocol/probe";
import { isNatural, Receipt } from "@sluice/protocol/receipt";
import type { ModelProof } from "../core/node.ts";

/** A model that has made a token within this time needs no probe. */
export const IDLE_MS = 60_000;
/** After a boot is ready: the first calls may prove it before a probe does. */
const FIRST_MS = 2_000;
/** A node is never asked sooner after the time before, whatever is suspected and of which model. */
const GAP_MIN_MS = 2_000;
const FAILED_MAX_MS = 60_000;
/** Of a beat's receipts, the newest so many are looked at: any one will do. */
export const RECEIPTS_READ = 4;
/** After an answer that says nothing. */
const UNTOLD_MS = 10_000;

export type ProbeResult =
  | { readonly kind: "proven" }
  | { readonly kind: "failed"; readonly why: string }
  /** It was there and would not try. */
  | { readonly kind: "untold" };

/** Of one model. */
export type Proof = {
  /** The last token known of; null: none of this boot. */
  readonly provenAtMs: number | null;
  /** Probes in vain since then. */
  readonly failures: number;
  readonly why: string | undefined;
  readonly failedSinceMs: number | undefined;
  readonly askedAtMs: number;
  /** Not to be asked before. */
  readonly askAtMs: number;
};

/** Of a node: one probe at a time, whatever the model. */
export type NodeProofs = {
  readonly boot: string;
  readonly asking: boolean;
  readonly askedAtMs: number;
  readonly byModel: ReadonlyMap<string, Proof>;
};

type Said = { readonly boot: string; readonly models: readonly ServedModel[] };

function unproven(nowMs: number): Proof {
  return {
    provenAtMs: null,
    failures: 0,
    why: undefined,
    failedSinceMs: undefined,
    askedAtMs: -Infinity,
    askAtMs: nowMs + FIRST_MS,
  };
}

/** As a beat leaves it: another boot has to be proven anew, and so has a model that was gone meanwhile. */
export function afterBeat(known: NodeProofs | undefined, { boot, models }: Said, nowMs: number): NodeProofs {
  const same = known?.boot === boot ? known : undefined;
  const byModel = new Map(models.map(({ id }) => [id, same?.byModel.get(id) ?? unproven(nowMs)]));
  return same === undefined ? { boot, asking: false, askedAtMs: -Infinity, byModel } : { ...same, byModel };
}

/** Somebody got tokens of it at that moment. What is older than its last failing proves nothing. */
function afterTokens(proof: Proof, atMs: number): Proof {
  const provenAtMs = Math.max(atMs, proof.provenAtMs ?? atMs);
  if (proof.failures > 0 && atMs <= proof.askedAtMs) return { ...proof, provenAtMs };
  const well = { failures: 0, why: undefined, failedSinceMs: undefined };
  return { ...proof, ...well, provenAtMs, askAtMs: provenAtMs + IDLE_MS };
}

/** What the receipts of a beat prove. They name weights: where two models have the same, they prove neither. */
export function afterReceipts(
  proofs: NodeProofs,
  models: readonly ServedModel[],
  { receipts }: Pick<Beat, "receipts">,
  nowMs: number,
): NodeProofs {
  const byModel = new Map(proofs.byModel);
  for (const { weights, endedAtMs } of provenBy({ receipts }, nowMs)) {
    const [model, another] = models.filter((model) => model.weights === weights);
    const proof = model && byModel.get(model.id);
    if (model !== undefined && proof !== undefined && another === undefined)
      byModel.set(model.id, afterTokens(proof, endedAtMs));
  }
  return { ...proofs, byModel };
}

/** The whole answers that the newest of these receipts tell of. */
export function provenBy(
  { receipts }: Pick<Beat, "receipts">,
  nowMs: number,
): readonly { readonly weights: string; readonly endedAtMs: number }[] {
  return receipts.slice(-RECEIPTS_READ).flatMap(({ body }) => {
    const receipt = Receipt.safeParse(jsonOf(body)).data;
    if (receipt === undefined || !isNatural(receipt.ended) || receipt.to <= receipt.from) return [];
    return [{ weights: receipt.weights, endedAtMs: Math.min(receipt.endedAtMs, nowMs) }];
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As the world sees it, by model; undefined where there is nothing to see. */
export function shownAs({ byModel }: NodeProofs): Readonly<Record<string, ModelProof>> | undefined {
  const shown = [...byModel].flatMap(([model, proof]) => {
    const known = shownOf(proof);
    return known === undefined ? [] : [[model, known] as const];
  });
  return shown.length === 0 ? undefined : Object.fromEntries(shown);
}

function shownOf({ provenAtMs, failures, why, failedSinceMs }: Proof): ModelProof | undefined {
  if (failures === 0 || failedSinceMs === undefined) return provenAtMs === null ? undefined : { provenAtMs };
  return { provenAtMs, failing: { sinceMs: failedSinceMs, probes: failures, why: why ?? "" } };
}

/** A Worker's call for this model has failed. */
export function suspected(proofs: NodeProofs, model: string, nowMs: number): NodeProofs {
  return changed(proofs, model, (proof) => ({
    ...proof,
    askAtMs: Math.min(proof.askAtMs, Math.max(nowMs, proof.askedAtMs + GAP_MIN_MS)),
  }));
}

export function asked(proofs: NodeProofs, model: string, nowMs: number): NodeProofs {
  const asking = { ...proofs, asking: true, askedAtMs: nowMs };
  return changed(asking, model, (proof) => ({ ...proof, askedAtMs: nowMs }));
}

export function afterProbe(
  proofs: NodeProofs,
  model: string,
  result: ProbeResult,
  nowMs: number,
): NodeProofs {
  return changed({ ...proofs, asking: false }, model, (proof) => afterResult(proof, result, nowMs));
}

function afterResult(proof: Proof, result: ProbeResult, nowMs: number): Proof {
  switch (result.kind) {
    case "proven":
      return afterTokens(proof, nowMs);
    case "untold":
      return { ...proof, askAtMs: nowMs + UNTOLD_MS };
    case "failed": {
      const failures = proof.failures + 1;
      const pauseMs = Math.min(FAILED_MAX_MS, GAP_MIN_MS * 2 ** Math.min(failures - 1, 16));
      const failedSinceMs = proof.failedSinceMs ?? nowMs;
      return { ...proof, failures, why: result.why, failedSinceMs, askAtMs: nowMs + pauseMs };
    }
  }
}

/** A model that has left the beats meanwhile is not brought back by it. */
function changed(proofs: NodeProofs, model: string, change: (proof: Proof) => Proof): NodeProofs {
  const proof = proofs.byModel.get(model);
  if (proof === undefined) return proofs;
  return { ...proofs, byModel: new Map(proofs.byModel).set(model, change(proof)) };
}

/** The model to ask for a token of: the one that is due for longest. Undefined where the node is not to be asked now. */
export function probeDue(
  { asking, askedAtMs, byModel }: NodeProofs,
  node: { readonly state: string; readonly models: readonly ServedModel[] },
  nowMs: number,
): string | undefined {
  if (node.state !== "ready" || asking || nowMs < askedAtMs + GAP_MIN_MS) return undefined;
  const due = node.models.flatMap(({ id, features }) => {
    const askAtMs = byModel.get(id)?.askAtMs ?? Infinity;
    return features.includes(PROBE_FEATURE) && askAtMs <= nowMs ? [{ id, askAtMs }] : [];
  });
  return due.toSorted((a, b) => a.askAtMs - b.askAtMs)[0]?.id;
}
