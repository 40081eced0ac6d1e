/** How much is set aside before a request runs: enough for whatever it may cost, and never more than there is. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { sizeHold, worstCostNanoUsd } from "../../../src/account/hold.ts";
import { costNanoUsd } from "../../../src/core/money.ts";
import { PRICE } from "./support.ts";

const ASK = { price: PRICE, promptCeiling: 1_000, outputAsked: null, outputDefault: 4_096 };
const FREE = { ...PRICE, inputMicroUsdPerM: 0, cachedMicroUsdPerM: 0, outputMicroUsdPerM: 0 };
const NOTHING_HELD = { heldNanoUsd: 0 };

describe("how large a hold is", () => {
  test("a client that names no max_tokens gets the model's default where money is no matter", ({
    expect,
  }) => {
    const size = sizeHold(ASK, { balanceNanoUsd: 1_000_000_000, ...NOTHING_HELD });
    expect(size).toMatchObject({ ok: true, outputCeiling: 4_096 });
  });

  test("with little money left it gets what a quarter of that pays for", ({ expect }) => {
    // 8 000 000 free: 2 000 000 pay for 1 000 tokens of output.
    const size = sizeHold(ASK, { balanceNanoUsd: 9_000_000, heldNanoUsd: 1_000_000 });
    expect(size).toMatchObject({ ok: true, outputCeiling: 1_000 });
  });

  test("and never less than 256 tokens, or than the model's default", ({ expect }) => {
    const funds = { balanceNanoUsd: 1_600_000, ...NOTHING_HELD };
    expect(sizeHold(ASK, funds)).toMatchObject({ ok: true, outputCeiling: 256 });
    expect(sizeHold({ ...ASK, outputDefault: 100 }, funds)).toMatchObject({ ok: true, outputCeiling: 100 });
  });

  test("a client's own max_tokens is held in full, or the request is refused", ({ expect }) => {
    const ask = { ...ASK, outputAsked: 500 };
    expect(sizeHold(ask, { balanceNanoUsd: 2_000_000, ...NOTHING_HELD })).toEqual({
      ok: true,
      outputCeiling: 500,
      heldNanoUsd: 2_000_000,
    });
    expect(sizeHold(ask, { balanceNanoUsd: 1_999_999, ...NOTHING_HELD })).toEqual({
      ok: false,
      neededNanoUsd: 2_000_000,
      freeNanoUsd: 1_999_999,
      heldByOthers: false,
    });
  });

  test("a refusal says whether other running requests are what is in the way", ({ expect }) => {
    const ask = { ...ASK, outputAsked: 500 };
    const size = sizeHold(ask, { balanceNanoUsd: 2_000_000, heldNanoUsd: 1 });
    expect(size).toMatchObject({ ok: false, heldByOthers: true });
  });

  test("what costs nothing runs on an empty balance, and on one below zero", ({ expect }) => {
    for (const balanceNanoUsd of [0, -5])
      expect(sizeHold({ ...ASK, price: FREE }, { balanceNanoUsd, ...NOTHING_HELD })).toMatchObject({
        ok: true,
        heldNanoUsd: 0,
        outputCeiling: 4_096,
      });
  });

  const rate = fc.integer({ min: 0, max: 100_000_000 });
  const price = fc.record({
    id: fc.constant("p"),
    inputMicroUsdPerM: rate,
    cachedMicroUsdPerM: rate,
    outputMicroUsdPerM: rate,
  });

  test("a hold is never more than what is free", ({ expect }) => {
    const ask = fc.record({
      price,
      promptCeiling: fc.integer({ min: 1, max: 1_000_000 }),
      outputAsked: fc.option(fc.integer({ min: 1, max: 1_000_000 })),
      outputDefault: fc.integer({ min: 1, max: 100_000 }),
    });
    const funds = fc.record({
      balanceNanoUsd: fc.integer({ min: -1_000, max: 10_000_000_000_000 }),
      heldNanoUsd: fc.integer({ min: 0, max: 10_000_000_000_000 }),
    });
    fc.assert(
      fc.property(ask, funds, (ask, funds) => {
        const size = sizeHold(ask, funds);
        if (size.ok && size.heldNanoUsd > 0)
          expect(size.heldNanoUsd).toBeLessThanOrEqual(funds.balanceNanoUsd - funds.heldNanoUsd);
      }),
    );
  });

  test("no tokens within the ceilings cost more than the hold, cached or not", ({ expect }) => {
    const tokens = fc.record({
      promptTokens: fc.integer({ min: 0, max: 1_000 }),
      cachedTokens: fc.integer({ min: 0, max: 1_000 }),
      completionTokens: fc.integer({ min: 0, max: 1_000 }),
    });
    fc.assert(
      fc.property(price, tokens, (price, tokens) => {
        expect(costNanoUsd(price, tokens)).toBeLessThanOrEqual(worstCostNanoUsd(price, 1_000, 1_000));
      }),
    );
  });
});
