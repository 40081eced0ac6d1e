/** Who may start a request, and what is said to whoever may not. */
import { describe, test } from "vitest";
import { decideAdmission, type KnownKey, type Situation } from "../../../src/account/admission.ts";
import { PRICE } from "./support.ts";

const SECRET = "ab".repeat(32);
const KEY: KnownKey = {
  id: "key_0000000000",
  name: "test",
  secretSha256: SECRET,
  expiresAtMs: null,
  revokedAtMs: null,
  models: null,
  requestsPerMinute: null,
  concurrency: null,
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
const NO_LIMITS = { requestsPerMinute: null, concurrency: null };
const HELD = 300_000;

function situation(change: Partial<Situation> & { readonly of?: Partial<KnownKey> } = {}): Situation {
  const { of = {}, ...rest } = change;
  return {
    suspended: false,
    key: { ...KEY, ...of },
    scopes: [
      { scope: "account", limits: NO_LIMITS, open: 0, bucket: undefined },
      { scope: "key", limits: { ...NO_LIMITS, ...of }, open: 0, bucket: undefined },
    ],
    funds: { balanceNanoUsd: HELD, heldNanoUsd: 0 },
    hitCostNanoUsd: null,
    ...rest,
  };
}

const NOW_MS = 1_000_000;

describe("an admission", () => {
  test("holds the most the request can cost", ({ expect }) => {
    expect(decideAdmission(ASK, situation(), NOW_MS)).toMatchObject({ do: "admit", heldNanoUsd: HELD });
  });

  const REFUSALS: readonly (readonly [string, Situation, object])[] = [
    ["a key nobody made", { ...situation(), key: undefined }, { kind: "unknown_key" }],
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
  ];

  test.for(REFUSALS)("is refused to %s", ([, where, refusal], { expect }) => {
    expect(decideAdmission(ASK, where, NOW_MS)).toEqual({ do: "refuse", refusal, mayWait: null });
  });

  test("is refused over a limit on requests per minute, and says when to come back", ({ expect }) => {
    const limits = { requestsPerMinute: 60, concurrency: null };
    const bucket = { left: 0, atMs: NOW_MS };
    const scopes = [{ scope: "key", limits, open: 0, bucket }] as const;
    const refusal = { kind: "rate_limited", scope: "key", max: 60, retryAfterMs: 1_000 };
    expect(decideAdmission(ASK, situation({ scopes }), NOW_MS)).toMatchObject({ do: "refuse", refusal });
  });

  test("waits for a place where every place is taken, unless there are none at all", ({ expect }) => {
    const full = (concurrency: number): Situation["scopes"] => [
      { scope: "account", limits: { requestsPerMinute: null, concurrency }, open: 2, bucket: undefined },
    ];
    expect(decideAdmission(ASK, situation({ scopes: full(2) }), NOW_MS)).toMatchObject({
      mayWait: "account",
    });
    expect(decideAdmission(ASK, situation({ scopes: full(3) }), NOW_MS)).toMatchObject({ do: "admit" });
    expect(decideAdmission(ASK, situation({ scopes: full(0) }), NOW_MS)).toMatchObject({ mayWait: null });
  });

  test("waits for money that running requests hold, not for money that is not there", ({ expect }) => {
    const held = situation({ funds: { balanceNanoUsd: HELD, heldNanoUsd: 1 } });
    expect(decideAdmission(ASK, held, NOW_MS)).toMatchObject({ mayWait: "money" });
    const poor = situation({ funds: { balanceNanoUsd: HELD - 1, heldNanoUsd: 1 } });
    expect(decideAdmission(ASK, poor, NOW_MS)).toMatchObject({ mayWait: null });
  });

  test("shows the client the limit it will meet first", ({ expect }) => {
    const scopes = [
      { scope: "account", limits: { requestsPerMinute: 100, concurrency: null }, open: 0, bucket: undefined },
      { scope: "key", limits: { requestsPerMinute: 10, concurrency: null }, open: 0, bucket: undefined },
    ] as const;
    expect(decideAdmission(ASK, situation({ scopes }), NOW_MS)).toMatchObject({
      requestsPerMinute: { max: 10, remaining: 9, resetMs: 6_000 },
    });
  });
});
