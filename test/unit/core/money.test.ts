/** Money is integers: nothing is lost between a price and a bill. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { costNanoUsd, parseUsd, printUsd } from "../../../src/core/money.ts";

const price = {
  id: "p",
  inputMicroUsdPerM: 270_000,
  cachedMicroUsdPerM: 70_000,
  outputMicroUsdPerM: 1_100_000,
};

test("a million tokens of each kind cost what the price list says", () => {
  const million = 1_000_000;
  expect(costNanoUsd(price, { promptTokens: million, cachedTokens: 0, completionTokens: 0 })).toBe(
    270_000_000,
  );
  expect(costNanoUsd(price, { promptTokens: million, cachedTokens: million, completionTokens: 0 })).toBe(
    70_000_000,
  );
  expect(costNanoUsd(price, { promptTokens: 0, cachedTokens: 0, completionTokens: million })).toBe(
    1_100_000_000,
  );
});

test("a cost is rounded up once, by less than a nano-dollar, and more tokens never cost less", () => {
  const count = fc.integer({ min: 0, max: 200_000 });
  fc.assert(
    fc.property(count, count, count, (promptTokens, cachedTokens, completionTokens) => {
      const cost = costNanoUsd(price, { promptTokens, cachedTokens, completionTokens });
      const cached = Math.min(cachedTokens, promptTokens);
      const exact =
        ((promptTokens - cached) * 270_000 + cached * 70_000 + completionTokens * 1_100_000) / 1_000;
      expect(cost).toBeGreaterThanOrEqual(exact);
      expect(cost - exact).toBeLessThan(1);
      expect(
        costNanoUsd(price, { promptTokens, cachedTokens, completionTokens: completionTokens + 1 }),
      ).toBeGreaterThan(cost);
    }),
  );
});

test.each([
  ["5", 5_000_000_000],
  ["0.01", 10_000_000],
  ["12.345678901", 12_345_678_901],
  ["-3.5", -3_500_000_000],
])("%s dollars are read exactly", (text, nano) => {
  expect(parseUsd(text)).toBe(nano);
});

test.each(["", "1,5", "1.2345678901", "abc", "1e3", "99999999", "--1", "$5"])(
  "%j is not an amount",
  (text) => {
    expect(parseUsd(text)).toBeUndefined();
  },
);

test("what is printed reads back as the same amount", () => {
  fc.assert(
    fc.property(fc.integer({ min: -9_000_000_000_000, max: 9_000_000_000_000 }), (nano) => {
      expect(parseUsd(printUsd(nano))).toBe(nano === 0 ? 0 : nano);
    }),
  );
});
