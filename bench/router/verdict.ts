/** Whether the aims are met, cell by cell. Pure. */
import { POLICY_NAMES } from "./policies/all.ts";
import type { CellResult } from "./run.ts";

/** Differences smaller than these are the dice's. */
const GOODPUT_EQUAL = 0.005;
const P99_EQUAL = 1.02;

export type Verdict = { readonly goodput: boolean; readonly ttftP99: boolean };

/** With reuse: nobody does better. Without: power of two choices does not. */
export function verdictOf({ reuse, policies }: CellResult): Verdict {
  const { sluice } = policies;
  const rivals = reuse ? POLICY_NAMES.filter((name) => name !== "sluice") : (["p2c"] as const);
  return {
    goodput: rivals.every((name) => sluice.goodput >= policies[name].goodput - GOODPUT_EQUAL),
    ttftP99: rivals.every((name) => sluice.ttftP99Ms <= policies[name].ttftP99Ms * P99_EQUAL),
  };
}
