/** An edge that is away for two hours, in simulated time: what waits, waits on disk, and the file does not grow for ever. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BEAT_RECEIPTS_MAX } from "@sluice/protocol/limits";
import { describe, expect, onTestFinished, test } from "vitest";
import { Journal } from "../../../gpu-node/src/journal/journal.ts";
import { Receipts } from "../../../gpu-node/src/journal/receipts.ts";
import { openDatabase } from "../../../gpu-node/src/journal/schema.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ATTEMPTS = 2_000;
const IDS = Array.from({ length: 40 }, (_, i) => i);

async function makeAttempts(journal: Journal, name: string): Promise<void> {
  await Promise.all(
    Array.from({ length: ATTEMPTS }, async (_, i) => {
      const id = await journal.begin({
        request: `req_${name}${i}`, ordinal: 0, ticket: `t-${name}-${i}`, issuedAtMs: i, weights: "w", node: "n",
        boot: "b", begunAtMs: i, from: 0, reasoning: 0, prompt: 9, cached: 0,
      }); // prettier-ignore
      if (id === undefined) throw new Error("it was begun before");
      await journal.progress(id, { from: 0, to: IDS.length, reasoning: 0, ids: IDS }, undefined);
      await journal.end(id, "stop", IDS.length, { body: `{"i":${i}}`, sig: "s" });
    }),
  );
}

describe("receipts of two hours", () => {
  test("are told in bounded beats when the edge is back, kept seven days longer, and their room is used again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-away-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const db = openDatabase(join(folder, "journal.db"));
    const [journal, receipts] = [new Journal(db), new Receipts(db)];
    onTestFinished(() => journal.close());
    await makeAttempts(journal, "A");
    const tellAll = (nowMs: number, name: string): number => {
      let beats = 0;
      for (; receipts.unsettled() > 0; beats++) {
        const due = receipts.due(nowMs, BEAT_RECEIPTS_MAX);
        expect(due.length).toBeLessThanOrEqual(BEAT_RECEIPTS_MAX);
        const names = due.map(({ body }) => ({
          request: `req_${name}${(JSON.parse(body) as { i: number }).i}`,
          ordinal: 0,
          choice: 0,
        }));
        receipts.acknowledge(names, nowMs);
      }
      return beats;
    };
    expect(receipts.unsettled()).toBe(ATTEMPTS);
    expect(tellAll(2 * HOUR_MS, "A")).toBe(ATTEMPTS / BEAT_RECEIPTS_MAX);
    const full = receipts.bytes();
    expect(receipts.prune(2 * HOUR_MS + 7 * DAY_MS - 1)).toBe(0);
    expect(journal.read({ request: "req_A7", ordinal: 0, choice: 0 }, 0, 100)?.tokens).toEqual(IDS);
    for (let round = 0; receipts.prune(2 * HOUR_MS + 7 * DAY_MS + 1) > 0; round++)
      expect(round).toBeLessThan(100);
    await makeAttempts(journal, "B");
    expect(receipts.bytes()).toBeLessThan(full * 1.1);
  });
});
