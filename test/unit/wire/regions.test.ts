/** Where a request wants to run, and where it may. */
import { expect, test } from "vitest";
import { FaultError } from "../../../src/core/fault.ts";
import { narrowed, readRegions } from "../../../src/wire/regions.ts";

const known = ["ap", "eu", "us"];

test.each([
  [null, null],
  ["eu", ["eu"]],
  ["us, EU ,us", ["eu", "us"]],
])("%j asks for %j", (header, regions) => {
  expect(readRegions(header, known)).toEqual(regions);
});

test.each([
  ["mars", /no region 'mars'; known are ap, eu, us/],
  ["eu,mars", /no region 'mars'/],
  ["", /names no region/],
  [" , ", /names no region/],
  ["e".repeat(2_000), /too long/],
])("%j is the client's mistake, and it is told which", (header, message) => {
  const fault = (() => {
    try {
      readRegions(header, known);
    } catch (error) {
      return error instanceof FaultError ? error.fault : undefined;
    }
    return undefined;
  })();
  expect(fault).toMatchObject({ kind: "invalid_request", param: "x-sluice-regions" });
  expect(fault).toHaveProperty("message", expect.stringMatching(message));
});

test.each([
  [null, null, null],
  [["eu"], null, ["eu"]],
  [null, ["us"], ["us"]],
  [["eu", "us"], ["ap", "us"], ["us"]],
  [["eu"], ["us"], []],
])("allowed %j, asked %j: %j", (allowed, asked, both) => {
  expect(narrowed(allowed, asked)).toEqual(both);
});
