/**
 * By cron: some nodes at a time, each a stretch of its journal further, and an alert where there is something that was never
 * billed. It is told once: the next step goes on behind it. A node that is away, or whose journal cannot be compared, keeps its place,
 * and none of the others waiting: that it could not be is told in the log, and its turn comes again with the next round.
 */
import type { Env } from "../core/env.ts";
import { log, logError } from "../core/log.ts";
import { raiseAlert } from "../db/alerts.ts";
import { choreCursor, nodesAfter, saveChoreCursor } from "../db/chores.ts";
import { walkJournal, type Unbilled } from "./unbilled.ts";

const CURSOR = "journals";
const NODES_PER_STEP = 10;
/** Of 500 attempts each: enough for twenty a second on each of ten nodes, every two minutes. */
const LISTS_PER_NODE = 5;
const TOLD_MAX = 3;
/** A node forgets a week after an edge took the receipt: whoever is so far behind may soon be too late. */
const BEHIND_MAX_MS = 5 * 24 * 60 * 60_000;

export async function journalsStep(env: Env, nowMs: number): Promise<void> {
  const after = await choreCursor(env, CURSOR);
  const nodes = await nodesAfter(env, after, NODES_PER_STEP);
  await Promise.all(
    nodes.map(async (node) => {
      try {
        await walkOn(env, node, nowMs);
      } catch (error) {
        logError("journal_walk_failed", error, { node });
      }
    }),
  );
  const next = nodes.length < NODES_PER_STEP ? "" : (nodes.at(-1) ?? "");
  if (next !== after) await saveChoreCursor(env, CURSOR, next, nowMs);
}

async function walkOn(env: Env, node: string, nowMs: number): Promise<void> {
  const name = `journal/${node}`;
  const before = await choreCursor(env, name);
  let cursor = before;
  const found: Unbilled[] = [];
  for (let list = 0; list < LISTS_PER_NODE; list++) {
    const walked = await walkJournal(env, node, cursor, nowMs);
    found.push(...walked.differences);
    cursor = walked.cursor;
    const { comparedToMs, more } = walked;
    if (!more) break;
    if (list === LISTS_PER_NODE - 1 && comparedToMs !== null && comparedToMs < nowMs - BEHIND_MAX_MS)
      log("journal_walk_behind", { node, behindMs: nowMs - comparedToMs });
  }
  if (found.length > 0) {
    const told = found.slice(0, TOLD_MAX).map(say).join("; ");
    const detail = `${found.length} attempts: ${told}${found.length > TOLD_MAX ? "; ..." : ""}`;
    await raiseAlert(env, { kind: "journal_unbilled", subject: node, detail }, nowMs);
  }
  if (cursor !== before) await saveChoreCursor(env, name, cursor, nowMs);
}

function say({ what, request, ordinal, positions }: Unbilled): string {
  return `${what}: ${request}, attempt ${ordinal}, ${positions} positions`;
}
