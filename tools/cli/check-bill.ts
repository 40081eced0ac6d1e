/**
 * Checks a bill against what the nodes signed. Pure but for the signatures' arithmetic. It trusts nothing of the edge but
 * the price row: each receipt must be signed by the key its node has published, be about this very attempt, and go on
 * where the one before it ended; the closing one must say what was billed; and its counts times the price must be the
 * cost.
 */
import { Receipt } from "@sluice/protocol/receipt";
import { importPublicKey, verifyText } from "@sluice/protocol/sign";
import { z } from "zod";
import { costNanoUsd, hitCostNanoUsd } from "../../src/core/money.ts";

const Price = z.looseObject({
  id: z.string(),
  input_micro_usd_per_m: z.number(),
  cached_micro_usd_per_m: z.number(),
  output_micro_usd_per_m: z.number(),
  hit_input_micro_usd_per_m: z.number(),
  hit_output_micro_usd_per_m: z.number(),
});

export const Generation = z.looseObject({
  id: z.string(),
  state: z.string(),
  model: z.string(),
  certainty: z.string(),
  ended: z.string(),
  usage: z.looseObject({
    prompt_tokens: z.number(),
    completion_tokens: z.number(),
    prompt_tokens_details: z.looseObject({ cached_tokens: z.number() }),
  }),
  cost: z.looseObject({ amount: z.string(), nano_usd: z.number(), write_off_nano_usd: z.number() }),
  price: z.union([Price, z.looseObject({ id: z.string() })]),
  attempts: z.array(
    z.looseObject({
      ordinal: z.number(),
      node: z.string().nullable(),
      region: z.string().nullable(),
      ended: z.string(),
      to: z.number(),
      receipt: z.object({ body: z.string(), sig: z.string() }).nullable(),
    }),
  ),
});
export type Generation = z.infer<typeof Generation>;

export const NodeKeys = z.looseObject({ keys: z.array(z.looseObject({ kid: z.string(), x: z.string() })) });
export type NodeKeys = z.infer<typeof NodeKeys>;

export type AttemptCheck = {
  readonly ordinal: number;
  readonly node: string | null;
  readonly region: string | null;
  readonly ended: string;
  /** Of the receipt; null where there is none. */
  readonly from: number | null;
  readonly to: number;
  /** `signed`, `no receipt`, or what is wrong with it. */
  readonly receipt: string;
  readonly ok: boolean;
};

export type BillCheck = {
  /** `proved`: by a receipt and the price. `unproved`: there is nothing to prove it with. `wrong`: something contradicts. */
  readonly verdict: "proved" | "unproved" | "wrong";
  readonly attempts: readonly AttemptCheck[];
  readonly recomputedNanoUsd: number | null;
  /** Sentences: what is wrong, or why nothing can be proved. */
  readonly why: readonly string[];
};

export async function checkBill(generation: Generation, { keys }: NodeKeys): Promise<BillCheck> {
  const why: string[] = [];
  const attempts: AttemptCheck[] = [];
  const receipts = new Map<number, Receipt>();
  for (const attempt of generation.attempts) {
    const found = await openSigned(generation.id, attempt, keys);
    if (found.receipt !== undefined) receipts.set(attempt.ordinal, found.receipt);
    const { ordinal, node, region, ended, to } = attempt;
    const from = found.receipt?.from ?? null;
    attempts.push({ ordinal, node, region, ended, from, to, receipt: found.says, ok: found.ok });
    if (!found.ok) why.push(`attempt ${ordinal}: ${found.says}`);
  }
  why.push(...gaps(generation, receipts));
  const recomputed = costOf(generation);
  const full = generation.cost.nano_usd + generation.cost.write_off_nano_usd;
  if (recomputed !== null && recomputed !== full)
    why.push(`the counts times price ${generation.price.id} are ${recomputed} nano-dollars, not ${full}`);
  const proof = proofOf(generation, receipts);
  if (proof.wrong !== undefined) why.push(proof.wrong);
  if (why.length > 0) return { verdict: "wrong", attempts, recomputedNanoUsd: recomputed, why };
  const missing = [
    ...(proof.missing === undefined ? [] : [proof.missing]),
    ...(recomputed === null ? [`price ${generation.price.id} is not in the price book any more`] : []),
  ];
  const verdict = missing.length === 0 ? "proved" : "unproved";
  return { verdict, attempts, recomputedNanoUsd: recomputed, why: missing };
}

type Opened = { readonly ok: boolean; readonly says: string; readonly receipt?: Receipt };

async function openSigned(
  request: string,
  attempt: Generation["attempts"][number],
  keys: NodeKeys["keys"],
): Promise<Opened> {
  const { receipt: signed, node, ordinal, to } = attempt;
  if (signed === null) return { ok: true, says: "no receipt" };
  const key = keys.find(({ kid }) => kid === node);
  if (key === undefined) return { ok: false, says: `no key of ${node ?? "the node"} is published` };
  const isSigned = await verifyText(
    await importPublicKey(key.x),
    "sluice-receipt",
    signed.body,
    signed.sig,
  ).catch(() => false);
  if (!isSigned) return { ok: false, says: "the signature is not that node's" };
  const parsed = Receipt.safeParse(readJson(signed.body));
  if (!parsed.success) return { ok: false, says: "the receipt cannot be read" };
  const receipt = parsed.data;
  const isOfThis = receipt.request === request && receipt.ordinal === ordinal && receipt.node === node;
  if (!isOfThis) return { ok: false, says: "the receipt is of another attempt" };
  if (receipt.to !== to) return { ok: false, says: `the receipt says ${receipt.to} positions, not ${to}` };
  return { ok: true, says: "signed", receipt };
}

/** A resumed attempt begins no later than where an earlier one had come. */
function gaps({ attempts }: Generation, receipts: ReadonlyMap<number, Receipt>): string[] {
  return [...receipts.values()].flatMap(({ ordinal, from }) => {
    const reached = Math.max(0, ...attempts.filter((one) => one.ordinal < ordinal).map(({ to }) => to));
    return from <= reached
      ? []
      : [`attempt ${ordinal} begins at ${from}, and nobody had come beyond ${reached}`];
  });
}

function proofOf(
  { certainty, ended, usage, cost }: Generation,
  receipts: ReadonlyMap<number, Receipt>,
): { readonly wrong?: string; readonly missing?: string } {
  const tokens = usage.completion_tokens;
  // A cached answer and one that was never delivered: no node's word stands behind them.
  if (ended === "recalled") return {};
  if (cost.nano_usd === 0 && tokens === 0) return {};
  if (certainty !== "exact") {
    const signed = [...receipts.values()].some((receipt) => receipt.certainty === certainty);
    const why = signed ? "its node signed what another server told it" : "no receipt closed it";
    return { missing: `it is ${certainty}: ${why}` };
  }
  if (receipts.size === 0) return { missing: "no receipt is kept with it" };
  const closing = [...receipts.values()].findLast((receipt) => receipt.to === tokens);
  if (closing === undefined) return { wrong: `no receipt says ${tokens} positions` };
  const cached = usage.prompt_tokens_details.cached_tokens;
  if (closing.prompt === usage.prompt_tokens && closing.cached === cached) return {};
  return {
    wrong: `the receipt says ${closing.prompt} prompt tokens, ${closing.cached} cached; billed were ${usage.prompt_tokens} and ${cached}`,
  };
}

function costOf({ price, usage, ended }: Generation): number | null {
  const known = Price.safeParse(price);
  if (!known.success) return null;
  const row = {
    id: known.data.id,
    inputMicroUsdPerM: known.data.input_micro_usd_per_m,
    cachedMicroUsdPerM: known.data.cached_micro_usd_per_m,
    outputMicroUsdPerM: known.data.output_micro_usd_per_m,
    hitInputMicroUsdPerM: known.data.hit_input_micro_usd_per_m,
    hitOutputMicroUsdPerM: known.data.hit_output_micro_usd_per_m,
  };
  const tokens = {
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    completionTokens: usage.completion_tokens,
  };
  return ended === "recalled" ? hitCostNanoUsd(row, tokens) : costNanoUsd(row, tokens);
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
