/** The short form of `npm run chaos -- ledger`: a few kills under load, and books that agree. */
import { expect, test } from "vitest";
import { runLedger } from "../../chaos/ledger/run.ts";

test("after kill -9 under load, with beats and messages lost, late and twice, three independent books agree", async () => {
  const said: string[] = [];
  const { json } = await runLedger({ seed: 4, requests: 160, say: (what) => said.push(what) });
  expect(json).toMatchObject({
    // Those that are repeated under an Idempotency-Key come on top.
    requests: expect.toSatisfy((requests: number) => requests >= 160),
    lost: 0,
    double: 0,
    underBilled: 0,
    overspentMicroUsd: 0,
    mismatches: 0,
    pendingLeft: 0,
    leaks: 0,
    findings: [],
  });
  expect(said.filter((what) => what.startsWith("kill -9")).length).toBeGreaterThan(0);
});
