/** What an operator asks of the books and of the platform's own doors: what is sent, and what is shown. */
import { ulid } from "@sluice/protocol/ids";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { FakePlatform } from "./support.ts";

const platform = new FakePlatform();
beforeAll(() => platform.start());
afterAll(() => platform.stop());
beforeEach(() => platform.forget());

describe("admin keys", () => {
  const KEY = {
    id: "adm_0123456789",
    name: "ci",
    shown: "sk-admin-...abcd",
    scopes: ["usage:read"],
    madeBy: "token",
    createdAtMs: 0,
    expiresAtMs: null,
    revokedAtMs: null,
  };

  test("are made with scopes, and shown once", async ({ expect }) => {
    platform.answering({ adminKey: { ...KEY, secret: "sk-admin-x" } });
    const { out } = await platform.sluice("admin-keys create ci --scopes usage:read,audit:read".split(" "));
    expect(out.split("\n")[0]).toBe("sk-admin-x");
    expect(platform.calls).toMatchObject([
      { line: "POST /admin/v1/admin-keys", body: { name: "ci", scopes: ["usage:read", "audit:read"] } },
    ]);
  });

  test("when refused, are refused in the words that were typed", async ({ expect }) => {
    const issues = [{ param: "scopes.1", message: "no such scope" }];
    const error = { code: "invalid_request", message: "scopes.1: no such scope", issues };
    platform.answers = [{ status: 400, body: { error } }];
    const { exit, err } = await platform.sluice("admin-keys create ci --scopes a,b".split(" "));
    expect({ exit, err }).toEqual({
      exit: 1,
      err: "sluice: --scopes: no such scope",
    });
  });

  test("when revoked, name what they have made", async ({ expect }) => {
    platform.answering({ id: KEY.id, revoked: true, liveKeysItMade: ["adm_1", "adm_2"] });
    const { out } = await platform.sluice(["admin-keys", "revoke", KEY.id]);
    expect(out).toBe("adm_0123456789 is revoked. It had made keys that still work: adm_1, adm_2.");
  });
});

test("the audit log is a table with who did what", async ({ expect }) => {
  const row = { atMs: 0, actor: "token", action: "POST /accounts", target: "/accounts/acc_1", status: null };
  platform.answering({ audit: [row], next: "more" });
  const { out } = await platform.sluice(["audit", "--actor", "token", "--limit", "1"]);
  expect(platform.calls[0]?.line).toBe("GET /admin/v1/audit?actor=token&limit=1");
  expect(out).toBe(
    [
      "WHEN                  WHO    DID             TO               STATUS",
      "1970-01-01T00:00:00Z  token  POST /accounts  /accounts/acc_1  unknown",
      "",
      "There is more: --cursor more, or --all",
    ].join("\n"),
  );
});

describe("prices", () => {
  const PRICE = {
    id: "price_1",
    effectiveFromMs: 0,
    zone: "UTC",
    inputMicroUsdPerM: 270_000,
    cachedMicroUsdPerM: 70_000,
    outputMicroUsdPerM: 1_100_000,
    windows: [
      {
        id: "price_1.1",
        from: "01:00",
        to: "04:00",
        days: [1, 5],
        inputMicroUsdPerM: 540_000,
        cachedMicroUsdPerM: 140_000,
        outputMicroUsdPerM: 2_200_000,
      },
    ],
  };

  test("are scheduled with windows, in dollars and days", async ({ expect }) => {
    platform.answering({ model: "tiny", price: PRICE });
    const windows = "01:00-04:00 mon-wed,fri 0.54/0.14/2.2; 22:00-02:00 0.1/0.1/0.1";
    const rates = "--input 0.27 --cached 0.07 --output 1.1 --zone UTC".split(" ");
    const { exit } = await platform.sluice([
      "prices",
      "schedule",
      "tiny",
      "2027-01-01",
      ...rates,
      "--windows",
      windows,
    ]);
    expect(exit).toBe(0);
    expect(platform.calls).toMatchObject([
      {
        line: "POST /admin/v1/prices/tiny",
        body: {
          inputMicroUsdPerM: 270_000,
          effectiveFromMs: Date.parse("2027-01-01"),
          zone: "UTC",
          windows: [
            { from: "01:00", to: "04:00", days: [1, 2, 3, 5], outputMicroUsdPerM: 2_200_000 },
            { from: "22:00", to: "02:00", inputMicroUsdPerM: 100_000 },
          ],
        },
      },
    ]);
  });

  test("stand in a table, the one in force marked", async ({ expect }) => {
    platform.answering({ model: "tiny", inForce: "price_1", prices: [PRICE] });
    const { out } = await platform.sluice(["prices", "list", "tiny"]);
    expect(out.split("\n")).toEqual([
      "   PRICE      FROM                  AT                       INPUT  CACHED  OUTPUT  CACHED ANSWER IN / OUT",
      "*  price_1    1970-01-01T00:00:00Z                           $0.27  $0.07   $1.10   $0.00 / $0.00",
      "   price_1.1                        01:00-04:00 mon,fri UTC  $0.54  $0.14   $2.20   $0.00 / $0.00",
    ]);
  });

  test("that cannot be read send nothing", async ({ expect }) => {
    const rates = "--input 1 --cached 1 --output 1".split(" ");
    for (const windows of ["1-4 0.1/0.1/0.1", "01:00-04:00 fri-mon 1/1/1", "01:00-04:00 1/1"]) {
      const { exit, err } = await platform.sluice(["prices", "set", "m", ...rates, "--windows", windows]);
      expect([exit, err]).toEqual([2, expect.stringContaining("--windows")]);
    }
    expect(platform.calls).toEqual([]);
  });
});

describe("the books", () => {
  const SENT: readonly (readonly [string, unknown, string, unknown])[] = [
    [
      "limits acc_1 key_1 --rpm 60",
      { key: { requestsPerMinute: 60 } },
      "PATCH /accounts/acc_1/keys/key_1",
      { requestsPerMinute: 60 },
    ],
    ["limits acc_1", { account: {} }, "GET /accounts/acc_1", undefined],
    ["ledger acc_1 --limit 5", { ledger: [], next: null }, "GET /accounts/acc_1/ledger?limit=5", undefined],
    [
      "cache set acc_1 --mode read --ttl 2h",
      { account: { id: "acc_1" } },
      "PATCH /accounts/acc_1",
      { cache: { mode: "read", ttlS: 7_200 } },
    ],
    ["cache set acc_1 --default", { account: { id: "acc_1" } }, "PATCH /accounts/acc_1", { cache: null }],
    [
      "cache purge acc_1 --model m",
      { account: "acc_1", model: "m" },
      "POST /accounts/acc_1/cache/purge",
      { model: "m" },
    ],
    ["alerts --seen", { alerts: [], next: null }, "GET /alerts?all=true", undefined],
    ["alerts seen", { seen: 2 }, "POST /alerts/seen", undefined],
    ["accounts delete acc_1 --yes", { id: "acc_1", balanceUsd: "0.00" }, "DELETE /accounts/acc_1", undefined],
  ];
  test.for(SENT)("%s asks for just that", async ([words, answer, line, body], { expect }) => {
    platform.answering(answer);
    expect(await platform.sluice(words.split(" "))).toMatchObject({ exit: 0, err: "" });
    const [method, path] = line.split(" ");
    expect(platform.calls).toMatchObject([{ line: `${method} /admin/v1${path}`, body }]);
  });

  test("of an account are not ended by a slip of the keyboard", async ({ expect }) => {
    const { exit, err } = await platform.sluice(["accounts", "delete", "acc_1"]);
    expect([exit, platform.calls]).toEqual([2, []]);
    expect(err).toContain("--yes");
  });

  test("that differ are a table, and an exit code that a script can see", async ({ expect }) => {
    const result = {
      account: "acc_1",
      comparedSeq: 7,
      balanceNanoUsd: 12_340_000_000,
      ledgerNanoUsd: 0,
      complete: true,
      journals: { asked: 3, unreachable: 1 },
      differences: [
        { what: "rollups", detail: "made anew", expected: null, found: null, repaired: true },
        { what: "balance", detail: "as of event 7", expected: 5, found: 6, repaired: false },
      ],
    };
    platform.answering(result);
    const { exit, out } = await platform.sluice(["reconcile", "acc_1", "--journals", "3"]);
    expect(platform.calls[0]?.body).toEqual({ account: "acc_1", whole: false, journals: 3 });
    expect(exit).toBe(1);
    expect(out).toMatch(/acc_1 +7 +\$12\.34 +2\/3 +2/);
    expect(out).toMatch(/acc_1 +balance +5 +6 +OPEN +as of event 7/);
    platform.answering(
      { accounts: [{ id: "a" }, { id: "b" }], next: null },
      { ...result, differences: [] },
      result,
      { nodes: [], next: null },
    );
    expect((await platform.sluice(["reconcile"])).exit).toBe(1);
    expect(platform.calls.slice(2, 4).map(({ body }) => (body as { account: string }).account)).toEqual([
      "a",
      "b",
    ]);
  });

  test("that nodes kept and nobody billed are asked for node by node, and told", async ({ expect }) => {
    const node = { node: "node_1", reached: true, listed: 500, differences: [], cursor: "7:500", more: true };
    const lost = { what: "unbilled", account: "acc_1", request: "req_1", ordinal: 1, positions: 30 };
    platform.answering(
      { accounts: [], next: null },
      {
        nodes: [
          { id: "node_1", removedAtMs: null },
          { id: "node_0", removedAtMs: 5 },
        ],
        next: null,
      },
      node,
      { ...node, listed: 12, differences: [lost], cursor: "7:512", more: false },
    );
    const { exit, out } = await platform.sluice(["reconcile"]);
    expect(exit).toBe(1);
    expect(platform.calls.slice(2).map(({ body }) => body)).toEqual([
      { node: "node_1", cursor: "" },
      { node: "node_1", cursor: "7:500" },
    ]);
    expect(out).toMatch(/node_1 +512 +1/);
    expect(out).toMatch(/node_1 +unbilled +acc_1 +req_1 +1 +30/);
  });

  test("are exported as CSV that no spreadsheet obeys, from page to page until the beginning", async ({
    expect,
  }) => {
    const row = (n: number, admittedAtMs: number, model: string) => ({
      request: `req_${ulid(admittedAtMs, new Uint8Array(16).fill(n))}`,
      key: "key_1",
      model,
      region: "eu",
      certainty: "exact",
      ended: "stop",
      promptTokens: 1,
      cachedTokens: 0,
      completionTokens: 2,
      reasoningTokens: 0,
      costUsd: "0.01",
      writeOffNanoUsd: 0,
      priceId: "price_1",
      admittedAtMs,
      closedAtMs: admittedAtMs,
    });
    const day = 86_400_000;
    platform.answering(
      { usage: [row(1, 3 * day, "=cmd()"), row(2, 2 * day, 'a"b,c')], next: "p2" },
      { usage: [row(3, day, "old")], next: "p3" },
    );
    const { out } = await platform.sluice(["export", "acc_1", "--from", "1970-01-03"]);
    const [head, ...lines] = out.split("\n");
    expect(head?.split(",").slice(0, 4)).toEqual(["request", "key", "model", "region"]);
    expect(lines.map((line) => line.replace(/^req_\w+,key_1,/, "").split(",eu,")[0])).toEqual([
      "'=cmd()",
      '"a""b,c"',
    ]);
    expect(platform.calls).toHaveLength(2);
  });
});
