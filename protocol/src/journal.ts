/**
 * `journal(from, to)`: what a node generated, read back by the edge. It serves failover (the tokens a cut stream had
 * delivered) and reconciliation (the ledger against what was really made).
 * GET `/node/v1/journal/<request>/<ordinal>?from=0&to=100`, under the same MAC as a call (the body is empty, the path
 * includes the query). Positions the node has not handed over are not in the answer.
 *
 * GET `/node/v1/journal?after=<id>&begunBefore=<ms>` lists what ended, in the order in which it began: so the edge finds what
 * it never billed, of which it cannot know the name. A node of an older build answers 404.
 */
import { z } from "zod";
import { AttemptName } from "./beat.ts";
import { JOURNAL_LIST_MAX, JOURNAL_POSITIONS_MAX, TICKET_CHARS_MAX, TOKENS_MAX } from "./limits.ts";
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

export function journalListPath(after: number, begunBeforeMs: number): string {
  return `${JOURNAL_PATH}?after=${after}&begunBefore=${begunBeforeMs}`;
}

export const JournalList = z.object({
  v: Version,
  /** When this journal began: one that was lost begins anew, and so do its ids. */
  sinceMs: z.int().min(0),
  attempts: z
    .array(
      z.object({
        /** Rises within a journal, and is never used again. */
        id: z.int().min(1),
        attempt: AttemptName,
        /** As the edge sealed it: it says whose request it was. */
        ticket: z.string().min(1).max(TICKET_CHARS_MAX),
        to: z.int().min(0).max(TOKENS_MAX),
        ended: Ending,
        /** When, by the edge's clock. A node of an older build does not say. */
        endedAtMs: z.int().min(0).optional(),
        /** Whether an edge has taken its receipt, or said that it never will. */
        receipt: z.enum(["waiting", "acknowledged", "rejected"]),
      }),
    )
    .max(JOURNAL_LIST_MAX),
  /** The highest id there has been, of those that were forgotten too. A node of an older build does not say, and may use ids again. */
  lastId: z.int().min(0).optional(),
  /** Whether more may follow, beyond the last of these. */
  more: z.boolean(),
});
export type JournalList = z.infer<typeof JournalList>;
