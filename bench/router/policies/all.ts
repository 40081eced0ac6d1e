/** The policies that are compared, by the names results have them under. */
import { chwbl, sglang } from "./affinity.ts";
import { ours } from "./ours.ts";
import { powerOfTwo, roundRobin } from "./plain.ts";
import type { MakePolicy } from "./policy.ts";
import { dynamo, epp } from "./scored.ts";

export const POLICIES = {
  roundRobin,
  p2c: powerOfTwo,
  chwbl,
  sglang,
  epp,
  dynamo,
  sluice: ours,
} as const satisfies { readonly [name: string]: MakePolicy };

export type PolicyName = keyof typeof POLICIES;
export const POLICY_NAMES = Object.keys(POLICIES) as PolicyName[];
