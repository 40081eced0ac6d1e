/** What an operator asks of the books and of the platform's own doors: what is sent, and what is shown. */
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
