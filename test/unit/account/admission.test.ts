/** Who may start a request, and what is said to whoever may not. */
import { describe, test } from "vitest";
import {
  ACCOUNT,
  allowedRegions,
  allowedUpstreams,
  decideAdmission,
  type KnownKey,
  type Situation,
} from "../../../src/account/admission.ts";
import { NOTHING_OPEN, type Scope } from "../../../src/account/limits.ts";
import { dayOf, monthOf, UNUSED } from "../../../src/account/used.ts";
import { KEY_SCOPES_DEFAULT, NO_LIMITS, type Limits } from "../../../src/core/limits.ts";
import { PRICE } from "./support.ts";

const SECRET = "ab".repeat(32);
const KEY: KnownKey = {
  id: "key_0000000000",
  name: "test",
  secretSha256: SECRET,
  old: null,
  lastFour: "0000",
  scopes: KEY_SCOPES_DEFAULT,
  madeBy: null,
  expiresAtMs: null,
  revokedAtMs: null,
  models: null,
  regions: null,
  upstreams: "any",
  limits: NO_LIMITS,
};
const ASK = {
  v: 1,
  account: "acc_any_000000000000",
  key: { id: KEY.id, secretSha256: SECRET },
  request: "req_01JD0000000000000000000000",
  model: "tiny",
  stream: true,
  promptCeiling: 100,
  outputAsked: 100,
  outputDefault: 100,
  price: PRICE,
};
const HELD = 300_000;

function scope(limits: Partial<Limits>, more: Partial<Scope> = {}): Scope {
  const none = { used: UNUSED, tally: NOTHING_OPEN };
  return { scope: "key", id: KEY.id, limits: { ...NO_LIMITS, ...limits }, ...none, ...more };
}

/** `of` changes the key, `maker` is one that made it. */
function situation(
  change: Partial<Situation> & { readonly of?: Partial<KnownKey>; readonly maker?: Partial<KnownKey> } = {},
): Situation {
  const { of = {}, maker, ...rest } = change;
  return {
    suspended: false,
    regions: null,
    path: [{ ...KEY, ...of }, ...(maker === undefined ? [] : [{ ...KEY, id: "key_maker00000", ...maker }])],
    scopes: [],
    funds: { balanceNanoUsd: HELD, heldNanoUsd: 0 },
    repeats: null,
    hitCostNanoUsd: null,
    ...rest,
  };
}

const NOW_MS = 1_000_000;
const TODAY = { day: dayOf(NOW_MS), month: monthOf(NOW_MS) };

describe("an admission", () => {
  test("holds the most the request can cost", ({ expect }) => {
    expect(decideAdmission(ASK, situation(), NOW_MS)).toMatchObject({ do: "admit", heldNanoUsd: HELD });
  });

  const REFUSALS: readonly (readonly [string, Situation, object])[] = [
    ["a key nobody made", situation({ path: [] }), { kind: "unknown_key" }],
    ["a wrong secret", situation({ of: { secretSha256: "cd".repeat(32) } }), { kind: "unknown_key" }],
    [
      "a wrong secret for a revoked key, without saying that it is revoked",
      situation({ of: { secretSha256: "cd".repeat(32), revokedAtMs: 1 } }),
      { kind: "unknown_key" },
    ],
    ["a revoked key", situation({ of: { revokedAtMs: 1 } }), { kind: "key_revoked" }],
    [
      "a key from the moment it expires",
      situation({ of: { expiresAtMs: NOW_MS } }),
      { kind: "key_expired", expiredAtMs: NOW_MS },
    ],
    ["a suspended account", situation({ suspended: true }), { kind: "account_suspended" }],
    ["a model the key is not for", situation({ of: { models: ["other"] } }), { kind: "model_forbidden" }],
    ["a key whose maker is revoked", situation({ maker: { revokedAtMs: 1 } }), { kind: "key_revoked" }],
    [
      "a key whose maker is over",
      situation({ of: { expiresAtMs: NOW_MS + 1 }, maker: { expiresAtMs: NOW_MS - 1 } }),
      { kind: "key_expired", expiredAtMs: NOW_MS - 1 },
    ],
    [
      "a model its maker is not for",
      situation({ maker: { models: ["other"] } }),
      { kind: "model_forbidden" },
    ],
    [
      "a key that is for looking things up alone",
      situation({ of: { scopes: ["usage"] } }),
      { kind: "scope_missing", scope: "inference" },
    ],
    [
      "a key and an account that have no region in common",
      situation({ regions: ["eu-1"], of: { regions: ["us-1"] } }),
      { kind: "data_residency_mismatch" },
    ],
    [
      "a secret from before a rotation, when its time is up",
      situation({
        of: { secretSha256: "cd".repeat(32), old: { secretSha256: SECRET, untilMs: NOW_MS } },
      }),
      { kind: "key_expired", expiredAtMs: NOW_MS },
    ],
  ];

  test.for(REFUSALS)("is refused to %s", ([, where, refusal], { expect }) => {
    expect(decideAdmission(ASK, where, NOW_MS)).toEqual({ do: "refuse", refusal, waitsFor: null });
  });

  test("opens to a secret from before a rotation until its time is up", ({ expect }) => {
    const old = { secretSha256: SECRET, untilMs: NOW_MS + 1 };
    const rotated = situation({ of: { secretSha256: "cd".repeat(32), old } });
    expect(decideAdmission(ASK, rotated, NOW_MS)).toMatchObject({ do: "admit" });
  });

  test("may run where account, key and maker all allow it", ({ expect }) => {
    expect(allowedRegions(situation())).toBeNull();
    const pinned = situation({ regions: ["a", "b", "c"], of: { regions: ["b", "c", "d"] } });
    expect(allowedRegions(pinned)).toEqual(["b", "c"]);
    const made = situation({ of: { regions: ["b", "c"] }, maker: { regions: ["c"] } });
    expect(allowedRegions(made)).toEqual(["c"]);
  });

  test("is refused over a limit on requests per minute, and says when to come back", ({ expect }) => {
    const used = { ...UNUSED, requests: { left: 0, atMs: NOW_MS } };
    const scopes = [scope({ requestsPerMinute: 60 }, { used })];
    const refusal = { kind: "rate_limited", scope: "key", max: 60, retryAfterMs: 1_000 };
    expect(decideAdmission(ASK, situation({ scopes }), NOW_MS)).toMatchObject({ do: "refuse", refusal });
  });

  test("waits for a place where every place is taken, unless there are none at all", ({ expect }) => {
    const full = (concurrency: number): Situation["scopes"] => [
      scope({ concurrency }, { scope: "account", id: ACCOUNT, tally: { ...NOTHING_OPEN, open: 2 } }),
    ];
    expect(decideAdmission(ASK, situation({ scopes: full(2) }), NOW_MS)).toMatchObject({
      do: "refuse",
      waitsFor: ACCOUNT,
    });
    expect(decideAdmission(ASK, situation({ scopes: full(3) }), NOW_MS)).toMatchObject({ do: "admit" });
    expect(decideAdmission(ASK, situation({ scopes: full(0) }), NOW_MS)).toMatchObject({ waitsFor: null });
  });

  test("waits for money that running requests hold, not for money that is not there", ({ expect }) => {
    const held = situation({ funds: { balanceNanoUsd: HELD, heldNanoUsd: 1 } });
    expect(decideAdmission(ASK, held, NOW_MS)).toMatchObject({ waitsFor: ACCOUNT });
    const poor = situation({ funds: { balanceNanoUsd: HELD - 1, heldNanoUsd: 1 } });
    expect(decideAdmission(ASK, poor, NOW_MS)).toMatchObject({ waitsFor: null });
  });

  test("is refused over a budget, with what is spent, what is held, and when the period ends", ({
    expect,
  }) => {
    const used = { ...UNUSED, ...TODAY, monthNanoUsd: 5 };
    const tally = { ...NOTHING_OPEN, open: 1, heldNanoUsd: 10 };
    const scopes = [scope({ budgetMonthNanoUsd: HELD + 14 }, { used, tally })];
    expect(decideAdmission(ASK, situation({ scopes }), NOW_MS)).toEqual({
      do: "refuse",
      refusal: {
        kind: "budget_exceeded",
        scope: "key",
        period: "month",
        maxNanoUsd: HELD + 14,
        spentNanoUsd: 5,
        heldNanoUsd: 10,
        neededNanoUsd: HELD,
        resetAtMs: Date.UTC(1970, 1, 1),
        heldByOthers: true,
      },
      waitsFor: KEY.id,
    });
    const enough = [scope({ budgetMonthNanoUsd: HELD + 15 }, { used, tally })];
    expect(decideAdmission(ASK, situation({ scopes: enough }), NOW_MS)).toMatchObject({ do: "admit" });
    const spent = [scope({ budgetTotalNanoUsd: HELD + 4 }, { used: { ...used, totalNanoUsd: 5 } })];
    expect(decideAdmission(ASK, situation({ scopes: spent }), NOW_MS)).toMatchObject({
      refusal: { period: "total", resetAtMs: null, heldByOthers: false },
      waitsFor: null,
    });
  });

  test("is refused over a limit on tokens per minute by what it may use, and told what would never fit", ({
    expect,
  }) => {
    const used = { ...UNUSED, tokens: { left: 150, atMs: NOW_MS } };
    const of = (tokensPerMinute: number, tokens = 0): Situation =>
      situation({ scopes: [scope({ tokensPerMinute }, { used, tally: { ...NOTHING_OPEN, tokens } })] });
    expect(decideAdmission(ASK, of(600), NOW_MS)).toMatchObject({
      refusal: { limit: "tokens_per_minute", remaining: 150, needed: 200, retryAfterMs: 5_000 },
      waitsFor: null,
    });
    expect(decideAdmission(ASK, of(600, 50), NOW_MS)).toMatchObject({ waitsFor: KEY.id });
    expect(decideAdmission(ASK, of(199, 50), NOW_MS)).toMatchObject({
      refusal: { max: 199, needed: 200 },
      waitsFor: null,
    });
    const open = { ...ASK, outputAsked: null, outputDefault: 4_096 };
    const rich = situation({
      scopes: [scope({ tokensPerMinute: 4_100 })],
      funds: { balanceNanoUsd: 1_000 * HELD, heldNanoUsd: 0 },
    });
    expect(decideAdmission(open, rich, NOW_MS)).toMatchObject({ do: "admit", outputCeiling: 1_000 });
  });

  test("shows the client the limit it will meet first", ({ expect }) => {
    const scopes = [
      scope({ requestsPerMinute: 100, tokensPerMinute: 1_000 }),
      scope({ requestsPerMinute: 10 }),
    ];
    expect(decideAdmission(ASK, situation({ scopes }), NOW_MS)).toMatchObject({
      limits: {
        requestsPerMinute: { max: 10, remaining: 9, resetMs: 6_000 },
        requestsPerDay: null,
        tokensPerMinute: { max: 1_000, remaining: 800, resetMs: 12_000 },
      },
    });
  });
});

describe("the upstreams a request may overflow to", () => {
  const CASES = [
    ["any", [], "any"],
    ["any", ["no-retention"], "no-retention"],
    ["no-retention", ["any"], "no-retention"],
    ["any", ["any", "none"], "none"],
    ["none", ["any", "any"], "none"],
  ] as const;
  test.for(CASES)("of an account's %s and its keys' %j are %s", ([account, keys, allowed], { expect }) => {
    const path = keys.map((upstreams) => ({ ...KEY, upstreams }));
    expect(allowedUpstreams(account, path)).toBe(allowed);
  });
});
