/**
 * What the nodes' journals say, read from their files once the nodes have stopped: a running node has its own to itself.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import type { Journalled } from "./judge.ts";

const ID_BYTES = 4;

const Step = z.object({
  request: z.string(),
  attempt: z.int(),
  node: z.string(),
  from: z.int(),
  ids: z.instanceof(Uint8Array),
});

export function readJournals(dataDirs: readonly string[]): ReadonlyMap<string, readonly Journalled[]> {
  const byRequest = new Map<string, Journalled[]>();
  for (const dataDir of dataDirs) {
    // Not read-only: after a kill -9 the write-ahead log has to be recovered.
    const db = new DatabaseSync(join(dataDir, "journal.db"));
    try {
      const steps = db
        .prepare(
          `select request, attempts.id as attempt, node, progress.from_position as "from", ids
           from attempts join progress on progress.attempt = attempts.id
           order by attempts.id, progress.from_position`,
        )
        .all()
        .map((row) => Step.parse(row));
      for (const [request, attempts] of gather(steps))
        byRequest.set(request, [...(byRequest.get(request) ?? []), ...attempts]);
    } finally {
      db.close();
    }
  }
  return byRequest;
}

function gather(steps: readonly z.infer<typeof Step>[]): ReadonlyMap<string, readonly Journalled[]> {
  const attempts = new Map<number, { request: string; node: string; from: number; ids: number[] }>();
  for (const { request, attempt, node, from, ids } of steps) {
    const known = attempts.get(attempt) ?? { request, node, from, ids: [] };
    attempts.set(attempt, known);
    const view = new DataView(ids.buffer, ids.byteOffset, ids.byteLength);
    for (let at = 0; at < ids.byteLength; at += ID_BYTES) known.ids.push(view.getUint32(at, true));
  }
  const byRequest = new Map<string, Journalled[]>();
  for (const { request, ...attempt } of attempts.values())
    byRequest.set(request, [...(byRequest.get(request) ?? []), attempt]);
  return byRequest;
}
