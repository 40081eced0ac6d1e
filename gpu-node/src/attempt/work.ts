/**
 * What a call becomes once it is read and counted, whatever its dialect: something that is begun once, runs, and ends with
 * an outcome. An answer (attempt.ts) and embeddings (embedding.ts) are the two kinds.
 */
import type { Refusal } from "@sluice/protocol/refusal";
import type { Outlet } from "./outlet.ts";
import type { Ledger, Outcome } from "./plan.ts";
import type { Runs } from "./running.ts";

export type Begins = Runs & {
  /** How far it has come, handed over or not: positions, or inputs. */
  readonly made: number;
  /** Never rejects; once. */
  run(): Promise<Outcome>;
};

export type Work = {
  readonly promptTokens: number;
  readonly stream: boolean;
  /** What earlier attempts delivered. */
  readonly before: { readonly positions: number; readonly reasoning: number };
  /** The prompt and cached counts a resume told us to repeat. */
  readonly echo: { readonly prompt: number; readonly cached: number } | undefined;
  begin(outlet: Outlet, ledger: Ledger, name: string): Begins;
};

export type Worked =
  | { readonly ok: true; readonly work: Work }
  | { readonly ok: false; readonly refusal: Refusal };
