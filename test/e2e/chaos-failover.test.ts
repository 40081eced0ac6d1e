/** The short form of `npm run chaos -- failover`: streams go on through kills, freezes and cuts, and every bill is exact. */
import { expect, test } from "vitest";
import { runShort } from "../../chaos/failover/run.ts";

test("no client notices that nodes are killed and frozen and connections cut, and each answer is billed once", async () => {
  const { json } = await runShort(7, 60, () => undefined);
  expect(json).toMatchObject({
    streams: 60,
    broken: 0,
    textMismatches: 0,
    doubleBilled: 0,
    underBilled: 0,
    findings: [],
  });
  const { faults } = json as { faults: { kill: number; cut: number } };
  expect(faults.kill).toBeGreaterThan(0);
  expect(faults.cut).toBeGreaterThan(0);
});
