/** Who decides whether an answer may come from the cache: the request, else its key or account, else the default. */
import { describe, expect, test } from "vitest";
import { planCache, readWish, TTL_DEFAULT_S, TTL_MAX_S } from "../../../src/cache/policy.ts";

const NOTHING = { mode: undefined, ttlS: undefined };

describe("a request", () => {
  test("that is deterministic is recalled and remembered without a word", () => {
    expect(planCache(NOTHING, true)).toEqual({ recall: true, remember: true, ttlS: TTL_DEFAULT_S });
  });

  test("that samples is neither, whatever its account says, unless it asks itself", () => {
    expect(planCache(NOTHING, false, { mode: "write" })).toMatchObject({ recall: false, remember: false });
    expect(planCache({ ...NOTHING, mode: "write" }, false)).toMatchObject({ recall: true, remember: true });
  });

  test.each([
    ["off", false, false],
    ["read", true, false],
    ["write", true, true],
    ["refresh", false, true],
  ] as const)("that says %s has its way, over its account", (mode, recall, remember) => {
    for (const other of ["off", "read", "write", "refresh"] as const)
      expect(planCache({ ...NOTHING, mode }, true, { mode: other })).toMatchObject({ recall, remember });
    expect(planCache(NOTHING, true, { mode })).toMatchObject({ recall, remember });
  });

  test("may say for how long, or its account may", () => {
    expect(planCache({ ...NOTHING, ttlS: 90 }, true, { ttlS: 120 }).ttlS).toBe(90);
    expect(planCache(NOTHING, true, { ttlS: 120 }).ttlS).toBe(120);
  });
});

describe("the header x-sluice-cache", () => {
  test.each([
    [null, NOTHING],
    ["", NOTHING],
    ["off", { mode: "off", ttlS: undefined }],
    [" Refresh ; TTL=600", { mode: "refresh", ttlS: 600 }],
    ["ttl=60", { mode: undefined, ttlS: 60 }],
  ])("%j is understood", (header, wish) => expect(readWish(header)).toEqual(wish));

  test.each([
    "on",
    "write;ttl",
    "write;ttl=1",
    `ttl=${TTL_MAX_S + 1}`,
    "off;write",
    "ttl=60;ttl=70",
    "ttl=-60",
  ])("%j is a mistake and not ignored", (header) => expect(readWish(header)).toBeUndefined());
});
