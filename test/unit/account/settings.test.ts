/** What an operator sets: what is given changes, the rest stays; and which clocks a deployment runs on. */
import { describe, test } from "vitest";
import { parseClocks } from "../../../src/account/clocks.ts";
import { configured, keyed, rekeyed } from "../../../src/account/settings.ts";
import { NO_LIMITS } from "../../../src/core/limits.ts";

const SALT = new Uint8Array(16).fill(1);
const ACCOUNT = "acc_any_000000000000";
const KEY = { id: "key_0000000000", name: "k", secretSha256: "0".repeat(64) };

describe("settings", () => {
  test("a new account has no limits, no money and a salt of its own", ({ expect }) => {
    expect(configured(undefined, { account: ACCOUNT }, SALT)).toMatchObject({
      name: ACCOUNT,
      balanceNanoUsd: 0,
      limits: NO_LIMITS,
      regions: null,
      cacheSalt: "01".repeat(16),
    });
  });

  test("what is not given stays as it was, the salt above all", ({ expect }) => {
    const before = configured(undefined, { account: ACCOUNT, regions: ["eu-1"], concurrency: 3 }, SALT);
    const after = configured(before, { account: ACCOUNT, concurrency: null }, new Uint8Array(16));
    expect(after).toEqual({ ...before, limits: NO_LIMITS });
    expect(configured(after, { account: ACCOUNT, regions: null }, SALT).regions).toBeNull();
  });

  test("of a key change by what is given, and its secret by none of it", ({ expect }) => {
    const key = keyed({ ...KEY, requestsPerMinute: 5, models: ["a"] }, undefined);
    expect(rekeyed(key, { tokensPerMinute: 7, models: null })).toEqual({
      ...key,
      models: null,
      limits: { ...NO_LIMITS, requestsPerMinute: 5, tokensPerMinute: 7 },
    });
  });

  test("nothing un-revokes a key", ({ expect }) => {
    const revoked = { ...keyed(KEY, undefined), revokedAtMs: 5 };
    expect(keyed(KEY, revoked).revokedAtMs).toBe(5);
  });
});

describe("clocks", () => {
  test("of a deployment are the protocol's, whatever its environment says", ({ expect }) => {
    const clocks = parseClocks({ SLUICE_CLOCKS: '{"holdLapseMs":1}' });
    expect(clocks).toEqual(parseClocks({}));
    expect(clocks).toMatchObject({ holdLapseMs: 60_000, closeWithoutWordMs: 30_000, pendingMaxMs: 900_000 });
  });

  test("of a test can be shortened, and what cannot be read stops the test", ({ expect }) => {
    expect(parseClocks({ SLUICE_DEV: "1", SLUICE_CLOCKS: '{"holdLapseMs":2000}' })).toMatchObject({
      holdLapseMs: 2_000,
      issueWithinMs: 1_000,
    });
    expect(() => parseClocks({ SLUICE_DEV: "1", SLUICE_CLOCKS: '{"holdLapseMs":"soon"}' })).toThrow("number");
  });
});
