/**
 * `journal(from, to)`: what a node generated, read back by the edge. It serves failover (the tokens a cut stream had
 * delivered) and reconciliation (the ledger against what was really made).
 * GET `/node/v1/journal/<request>/<ordinal>?from=0&to=100`, under the same MAC as a call (the body is empty, the path
 * includes the query). Positions the node has not handed over are not in the answer.
 */
import { z } from "zod";
import { AttemptName } from "./beat.ts";
import { JOURNAL_POSITIONS_MAX } from "./limits.ts";
import { Ending } from "./receipt.ts";
import { Version } from "./version.ts";

export const JOURNAL_PATH = "/node/v1/journal";

export function journalPath(attempt: AttemptName, from: number, to: number): string {
  return `${JOURNAL_PATH}/${attempt.request}/${attempt.ordinal}?from=${from}&to=${to}`;
}

export const JournalAnswer = z.object({
  v: Version,
  attempt: AttemptName,
  from: z.int().min(0),
  to: z.int().min(0),
  /** Token ids of positions [from, to); fewer than asked for where the attempt has not come so far. */
  tokens: z.array(z.int().min(0)).max(JOURNAL_POSITIONS_MAX),
  /** Undefined while the attempt runs. */
  ended: Ending.optional(),
});
export type JournalAnswer = z.infer<typeof JournalAnswer>;
