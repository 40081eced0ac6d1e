/**
 * What an attempt is to do, decided before it begins: the engine's task, how its tokens are read, how its answer looks.
 * And what became of it. Both are data; attempt.ts does it.
 */
import type { Ending, Receipt } from "@sluice/protocol/receipt";
import type { Answering, Rules } from "../answer/reduce.ts";
import type { Task, Told } from "../engines/engine.ts";
import type { Counts, Progress } from "../journal/journal.ts";
import type { Face, Print } from "../print/face.ts";

export type Plan = {
  readonly lane: string;
  readonly promptTokens: number;
  /** One per choice. */
  readonly tasks: readonly Task[];
  readonly rules: Rules;
  /** After the tokens of earlier attempts, where there were any. */
  readonly before: Answering;
  /** Whoever has the end token was told why with it, by a node that told the end in parts. */
  readonly finishTold: boolean;
  /** The prompt and cached counts a resume told us to repeat. */
  readonly echo: { readonly prompt: number; readonly cached: number } | undefined;
  readonly face: Face;
  readonly print: Print;
  readonly stream: boolean;
  /** Whether it thinks from its first token on; decides what the first chunk looks like. */
  readonly thinking: boolean;
  readonly weights: string;
  /** Whether events carry the edge's notes. */
  readonly notes: boolean;
  /** The engine is told what to count: by a server that knows nothing of these ceilings. */
  readonly told?: { readonly promptMax: number; readonly positionsMax: number };
};

/** Where positions are written down before they are handed over. */
export type Ledger = {
  progress(progress: Progress, counts: Counts | undefined): Promise<void>;
  /** How an answer in one piece will have ended: kept before it is written. Without positions its counts come along. */
  ends(ended: Ending, counts?: Counts): Promise<void>;
};

export const NO_LEDGER: Ledger = { progress: () => Promise.resolve(), ends: () => Promise.resolve() };

export type Outcome = Counts & {
  readonly ended: Ending;
  /** Positions handed over. */
  readonly to: number;
  readonly reasoning: number;
  /** The engine failed this attempt alone: what else it holds is there. */
  readonly spared?: true;
  /** Where they are not this node's own count. */
  readonly certainty?: NonNullable<Receipt["certainty"]>;
};

/** A server's own counts in the place of this node's, within the ceilings it knows nothing of. */
export function toldOr(
  { told: ceilings }: Plan,
  told: Told | undefined,
  own: { readonly to: number; readonly reasoning: number },
): { readonly to: number; readonly reasoning: number } {
  if (ceilings === undefined) return { to: own.to, reasoning: own.reasoning };
  const to = Math.min(told?.positions ?? own.to, ceilings.positionsMax);
  return { to, reasoning: Math.min(told?.reasoning ?? own.reasoning, to) };
}
