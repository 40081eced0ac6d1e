/** How a machine becomes a node, and how it does not. */
import { fromBase64Url, toBase64Url } from "@sluice/protocol/bytes";
import { EnrolAnswer } from "@sluice/protocol/enrol";
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { derive, parseSecrets } from "../../../src/core/secrets.ts";
import { readCatalogue } from "../../../src/db/catalogue.ts";
import { markRemoved, nodeById } from "../../../src/db/registry.ts";
import { enrol, joinToken, machine } from "./support.ts";

async function enrolledAs(response: Response): Promise<EnrolAnswer> {
  return EnrolAnswer.parse(await response.json());
}

describe("a machine with a join token", () => {
  test("becomes the node the token was made for, and gets call keys of its own", async ({ expect }) => {
    const by = await machine();
    const token = await joinToken({ region: "mountain", url: "https://gpu7.example.com" });
    const answer = await enrolledAs(await enrol(by, token));
    expect(answer.region).toBe("mountain");
    expect(await nodeById(env, answer.node)).toMatchObject({
      region: "mountain",
      url: "https://gpu7.example.com",
      publicKey: by.publicKey,
      removedAtMs: null,
    });
    const expected = await derive(parseSecrets(env.SLUICE_SECRETS), "t1", "node-call", answer.node);
    expect(answer.callKeys).toHaveLength(1);
    expect(fromBase64Url(answer.callKeys[0]?.key ?? "")).toEqual(expected);
    expect((await readCatalogue(env, Date.now())).regions).toContain("mountain");
  });

  test("that lost the reply asks again and is told the same", async ({ expect }) => {
    const by = await machine();
    const token = await joinToken();
    const first = await enrolledAs(await enrol(by, token));
    const second = await enrolledAs(await enrol(by, token));
    expect({ ...second, edgeTimeMs: 0 }).toEqual({ ...first, edgeTimeMs: 0 });
  });

  test("is told the keys of both secrets while one replaces the other, the newer first", async ({
    expect,
  }) => {
    const two = toBase64Url(new Uint8Array(32).fill(2));
    const { keys } = JSON.parse(env.SLUICE_SECRETS) as { keys: Record<string, string> };
    const SLUICE_SECRETS = JSON.stringify({ current: "t2", keys: { ...keys, t2: two } });
    const answer = await enrolledAs(
      await enrol(await machine(), await joinToken(), { env: { SLUICE_SECRETS } }),
    );
    expect(answer.callKeys.map((key) => key.id)).toEqual(["t2", "t1"]);
  });

  test("cannot use it after another machine did, even when both ask at once", async ({ expect }) => {
    const token = await joinToken();
    const rivals = await Promise.all([machine(), machine(), machine(), machine()]);
    const answers = await Promise.all(rivals.map((by) => enrol(by, token)));
    expect(answers.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([200, 403, 403, 403]);
    const { results } = await env.DB.prepare(
      "select count(*) as n from nodes where public_key in (?, ?, ?, ?)",
    )
      .bind(...rivals.map((by) => by.publicKey))
      .all();
    expect(results).toEqual([{ n: 1 }]);
  });

  test("cannot use it after it has expired, unless it did so in time", async ({ expect }) => {
    const late = await enrol(await machine(), await joinToken({ expiresAtMs: 1 }));
    expect(late.status).toBe(403);
    expect(await late.text()).toContain("expired");
    const by = await machine();
    const token = await joinToken();
    await enrol(by, token);
    await env.DB.prepare("update join_tokens set expires_at_ms = 1").run();
    expect((await enrol(by, token)).status).toBe(200);
  });

  test("cannot come back after its node was removed", async ({ expect }) => {
    const by = await machine();
    const token = await joinToken();
    const { node } = await enrolledAs(await enrol(by, token));
    await markRemoved(env, node, Date.now());
    expect((await enrol(by, token)).status).toBe(403);
  });
});

describe("an enrolment is refused", () => {
  test("without a token that was made here", async ({ expect }) => {
    const response = await enrol(await machine(), "sluice-join-never-made-here");
    expect(response.status).toBe(403);
    expect(await response.text()).not.toContain("sluice-join");
  });

  test("when somebody else signed it", async ({ expect }) => {
    const by = await machine();
    const other = await machine();
    const response = await enrol({ ...by, privateKey: other.privateKey }, await joinToken());
    expect(response.status).toBe(401);
  });

  test("when it was signed as something else", async ({ expect }) => {
    expect((await enrol(await machine(), await joinToken(), { domain: "sluice-beat" })).status).toBe(401);
  });

  test("over plain http outside a local run, because the answer holds keys", async ({ expect }) => {
    const open = { url: "http://edge.example.com" };
    const token = await joinToken();
    const { SLUICE_DEV: _, ...deployed } = env;
    expect(
      (await enrol(await machine(), token, { ...open, env: { ...deployed, SLUICE_DEV: "0" } })).status,
    ).toBe(403);
    expect((await enrol(await machine(), token, open)).status).toBe(200);
  });
});
