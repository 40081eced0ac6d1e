/**
 * The bias as vLLM and SGLang take it: from -100 up, and -100 forbids for all that matters. JSON has no -Infinity, it
 * would be sent as null. Pure.
 */
import type { Sampling } from "../engine.ts";

const BIAS_MIN = -100;

/** Nothing at all where no token is biased. */
export function logitBiasField(bias: Sampling["logitBias"]): { readonly logit_bias?: object } {
  if (bias === undefined || bias.length === 0) return {};
  return { logit_bias: Object.fromEntries(bias.map(([id, by]) => [id, Math.max(BIAS_MIN, by)])) };
}
