/**
 * Weights that nobody here has seen: a server that shows no tokens serves them. Their name stands in the place of a digest,
 * marked, so that what is in a journal says of itself how it was counted. Pure.
 */
const TOLD = "told:";
const NAME_CHARS_MAX = 100;

export function toldWeights(model: string): string {
  return TOLD + model.replaceAll(/[^\w.-]/g, "-").slice(0, NAME_CHARS_MAX);
}

export function isTold(weights: string): boolean {
  return weights.startsWith(TOLD);
}
