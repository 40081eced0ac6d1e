/**
 * Walks the ranking until a node's first content arrives. Never a node twice, but for the one case that is the node's
 * own wish: it counted a larger prompt than the hold pays for, the hold is extended once, and the same node is asked
 * again. Every call has an ordinal of its own; all but the first are named to the account's object, by the word that
 * says how the one before ended, or by the extension.
 *
 * How a node is tried and what "content" is are the caller's: this file decides only who is next and who is told.
 */
import type { ExtendVerdict, WordWhy } from "@sluice/protocol/account";
import { ATTEMPTS_MAX, WORD_ACK_WAIT_MS } from "@sluice/protocol/limits";
import type { Refusal } from "@sluice/protocol/refusal";
import { FaultError, type Fault } from "../core/fault.ts";
import type { LiveNode } from "../core/node.ts";
import { judge } from "./judge.ts";

export type Tried<Answer> =
  | { readonly kind: "content"; readonly answer: Answer }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "failed"; readonly why: Extract<WordWhy, "node_lost" | "node_failed" | "timeout"> }
  | { readonly kind: "client_gone" };

export type Saying = {
  readonly ordinal: number;
  readonly why: WordWhy;
  readonly node: LiveNode | null;
  readonly next: number | null;
};

export type Steps<Answer> = {
  readonly promptCeiling: number;
  attempt(node: LiveNode, ordinal: number, promptCeiling: number): Promise<Tried<Answer>>;
  /** Sends a word; resolves when it is acknowledged. Keeps trying on its own where it is not. */
  tell(saying: Saying): Promise<void>;
  extend(ordinal: number, promptCeiling: number): Promise<ExtendVerdict>;
  waitMs(ms: number): Promise<void>;
};

export type Walked<Answer> = {
  readonly answer: Answer;
  readonly node: LiveNode;
  readonly ordinal: number;
};

/** Throws a FaultError where no node answers, having told the account's object how it ended. */
export async function walk<Answer>(
  ranking: readonly LiveNode[],
  steps: Steps<Answer>,
): Promise<Walked<Answer> | "client_gone"> {
  let ordinal = 0;
  let promptCeiling = steps.promptCeiling;
  let acknowledged: Promise<void> = Promise.resolve();
  let retryAfterMs = RETRY_AFTER_MAX_MS;
  let failed: Fault | undefined;
  const queue = [...ranking];
  let extended = false;

  for (let node = queue.shift(); node !== undefined;) {
    const tried = await steps.attempt(node, ordinal, promptCeiling);
    if (tried.kind === "content") {
      // Nothing of a later node goes out before the books know of it, within reason.
      if (ordinal > 0) await Promise.race([acknowledged, steps.waitMs(WORD_ACK_WAIT_MS)]);
      return { answer: tried.answer, node, ordinal };
    }
    const end = (why: WordWhy): Promise<void> => steps.tell({ ordinal, why, node: node ?? null, next: null });
    if (tried.kind === "client_gone") {
      await end("client_gone");
      return "client_gone";
    }
    if (tried.kind === "refused") {
      const verdict = judge(tried.refusal);
      if (verdict.kind === "fault") {
        await end("refused");
        throw new FaultError(verdict.fault);
      }
      if (verdict.kind === "extend" && !extended && ordinal + 1 < ATTEMPTS_MAX) {
        extended = true;
        const extension = await steps.extend(ordinal + 1, verdict.promptTokens);
        if (!extension.ok) {
          await end("refused");
          throw new FaultError(extensionFault(extension.refusal));
        }
        ordinal += 1;
        promptCeiling = extension.promptCeiling;
        continue;
      }
      if (verdict.kind === "next") retryAfterMs = Math.min(retryAfterMs, verdict.retryAfterMs);
    } else {
      failed = { kind: tried.why === "timeout" ? "upstream_timeout" : "upstream_failed" };
    }
    const why = tried.kind === "refused" ? "refused" : tried.why;
    const following = ordinal + 1 < ATTEMPTS_MAX ? queue.shift() : undefined;
    if (following === undefined) {
      await end(why);
      throw new FaultError(failed ?? { kind: "overloaded", retryAfterMs });
    }
    acknowledged = steps.tell({ ordinal, why, node, next: ordinal + 1 });
    ordinal += 1;
    node = following;
  }
  await steps.tell({ ordinal: 0, why: "no_node", node: null, next: null });
  throw new FaultError({ kind: "overloaded", retryAfterMs: RETRY_AFTER_NO_NODE_MS });
}

const RETRY_AFTER_MAX_MS = 60_000;
const RETRY_AFTER_NO_NODE_MS = 2_000;

function extensionFault(refusal: Extract<ExtendVerdict, { ok: false }>["refusal"]): Fault {
  switch (refusal.kind) {
    case "insufficient_balance":
      return refusal;
    case "storage_unavailable":
      return { kind: "storage_unavailable" };
    case "not_extendable":
      return { kind: "internal" };
  }
}
