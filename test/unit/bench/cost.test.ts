/** From counts to dollars: nothing that is billed is left out, and the platform's own rest is not a request's. */
import { describe, expect, test } from "vitest";
import { amountsOf, largest, perRequest, scaled, termsOf, totalUsd } from "../../../bench/cost/price.ts";
import { USD_PER_MILLION } from "../../../bench/cost/prices.ts";

const COUNTS = {
  "worker.calls": 10,
  "worker.beats": 5,
  "worker.consumers": 2,
  "account.requests": 30,
  "region.requests": 5,
  "account.awakeMs": 1_000,
  "account.rowsWritten": 40,
  "account.alarmsSet": 1,
  "d1.rowsWritten": 14,
  "queue.operations": 6,
};

describe("the price of a request", () => {
  test("counts every call of the Worker, every call of an object, alarms as rows, and an object as 128 MB", () => {
    const amounts = amountsOf(COUNTS, 90);
    expect(amounts).toMatchObject({
      workerRequests: 17,
      workerCpuMs: 90,
      objectRequests: 35,
      objectGbS: 0.128,
      objectRowsWritten: 41,
      d1RowsWritten: 14,
      queueOperations: 6,
      kvWrites: 0,
    });
    expect(Object.keys(amounts).sort()).toEqual(Object.keys(USD_PER_MILLION).sort());
  });

  test("is what a million of its amounts cost at the list", () => {
    const one = perRequest(amountsOf(COUNTS, 90), scaled(amountsOf({ "worker.beats": 5 }, 10), 1), 10);
    const terms = termsOf(one);
    expect(terms.workerRequests).toBeCloseTo(1.2 * 0.3);
    expect(terms.workerCpuMs).toBeCloseTo(8 * 0.02);
    expect(terms.objectRowsWritten).toBeCloseTo(4.1);
    expect(totalUsd(terms)).toBeCloseTo(0.36 + 0.16 + 0.525 + 0.16 + 4.1 + 1.4 + 0.24);
    expect(largest(terms, 2).map(([unit]) => unit)).toEqual(["objectRowsWritten", "d1RowsWritten"]);
  });
});
