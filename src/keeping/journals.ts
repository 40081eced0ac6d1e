/**
 * What the nodes' own journals say of requests that were billed: for the attempt that closed one, whether the journal has
 * just as many positions. The same signed call that reads a journal back; a node that is away is no difference.
 */
import { JournalAnswer, journalPath } from "@sluice/protocol/journal";
import type { Env } from "../core/env.ts";
import { usagePage, type UsageRow } from "../db/usage.ts";
import { AttemptTrace } from "@sluice/protocol/account-log";
import { z } from "zod";
import { askNode } from "./ask-node.ts";

/** A node forgets an attempt seven days after it was settled. A day less: what it may have forgotten is not asked for. */
const REMEMBERED_MS = 6 * 24 * 60 * 60_000;

export type JournalCheck = {
  readonly request: string;
  readonly node: string;
  /** What was billed, and what the journal has; null: it has no such attempt. */
  readonly billed: number;
  readonly journalled: number | null;
};

export type JournalsCheck = {
  readonly asked: number;
  readonly unreachable: number;
  readonly differing: readonly JournalCheck[];
};

/** Of the account's newest requests, at most `max` that a node's receipt closed, and that no node has forgotten. */
export async function checkJournals(
  env: Env,
  account: string,
  max: number,
  nowMs: number,
): Promise<JournalsCheck> {
  if (max === 0) return { asked: 0, unreachable: 0, differing: [] };
  const { rows } = await usagePage(env, account, { limit: max, after: undefined });
  const kept = rows.filter(({ closedAtMs }) => closedAtMs > nowMs - REMEMBERED_MS);
  const closed = kept.flatMap((row) => closingOf(row) ?? []);
  const found = await Promise.all(closed.map(async (one) => ({ one, journalled: await ask(env, one) })));
  const reached = found.filter(({ journalled }) => journalled !== undefined);
  return {
    asked: closed.length,
    unreachable: found.length - reached.length,
    differing: reached.flatMap(({ one: { request, node, to }, journalled }) =>
      journalled === to ? [] : [{ request, node, billed: to, journalled: journalled ?? null }],
    ),
  };
}

type ClosedBy = {
  readonly request: string;
  readonly ordinal: number;
  readonly node: string;
  readonly to: number;
};

function closingOf(row: UsageRow): ClosedBy | undefined {
  if (row.certainty !== "exact" || row.completionTokens === 0) return undefined;
  const attempts = z.array(AttemptTrace).parse(JSON.parse(row.attempts));
  const closing = attempts.findLast(({ node, to }) => node !== null && to === row.completionTokens);
  if (closing === undefined || closing.node === null) return undefined;
  return { request: row.request, ordinal: closing.ordinal, node: closing.node, to: closing.to };
}

/** How many positions the node has journalled, as far as can be told from around `to`; undefined where it is away. */
async function ask(env: Env, { request, ordinal, node, to }: ClosedBy): Promise<number | null | undefined> {
  const path = journalPath({ request, ordinal, choice: 0 }, to - 1, to + 1);
  const answer = await askNode(env, node, path, JournalAnswer);
  return answer === null || answer === undefined ? answer : answer.to;
}
