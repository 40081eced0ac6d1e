/** Kept answers open for their account, under their name, with the salt they were sealed under; and never otherwise. */
import { utf8 } from "@sluice/protocol/bytes";
import { describe, expect, test } from "vitest";
import { nameAnswer, type AnswerName } from "../../../src/cache/name.ts";
import { open, readSealed, seal, sealKey, type SealedAnswer } from "../../../src/cache/seal.ts";

const SECRET = utf8("0123456789abcdef0123456789abcdef");
const SALT = "a1".repeat(16);
const NAME: AnswerName = { text: "k1-name", account: "acc_a" };
const NONCE = utf8("twelve bytes");
const HEAD = {
  atMs: 1_000,
  expiresAtMs: 2_000,
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens: 2,
  reasoningTokens: 0,
};

const keyOf = (account = "acc_a", salt = SALT, secret = SECRET, id = "k1") =>
  sealKey(id, async () => secret, account, salt);

async function sealed(): Promise<SealedAnswer> {
  return seal(await keyOf(), NAME, { ...HEAD, text: "the answer" }, NONCE);
}

describe("a sealed answer", () => {
  test("opens again, and shows nothing of itself before", async () => {
    const answer = await sealed();
    expect(await open(await keyOf(), NAME, answer)).toBe("the answer");
    expect(new TextDecoder().decode(answer.bytes)).not.toContain("the answer");
    expect(readSealed(answer.bytes, 1_500)?.head).toMatchObject(HEAD);
  });

  test.each([
    ["another account", NAME, () => keyOf("acc_b")],
    ["another salt, its own having been forgotten", NAME, () => keyOf("acc_a", "b2".repeat(16))],
    ["another salt that begins the same", NAME, () => keyOf("acc_a", `${SALT.slice(0, 30)}00`)],
    ["another deployment", NAME, () => keyOf("acc_a", SALT, utf8("f".repeat(32)), "k2")],
    ["another name", { ...NAME, text: "k1-other" }, () => keyOf()],
    ["another account's name", { ...NAME, account: "acc_b" }, () => keyOf()],
  ])("does not open for %s", async (_, name, key) => {
    expect(await open(await key(), name, await sealed())).toBeUndefined();
  });

  test("cut anywhere, or changed anywhere, is nothing", async () => {
    const { bytes } = await sealed();
    const key = await keyOf();
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      for (const broken of [bytes.slice(0, at), changed]) {
        const read = readSealed(broken, 1_500);
        expect(read === undefined ? undefined : await open(key, NAME, read)).toBeUndefined();
      }
    }
  });

  test("too old is nothing", async () => {
    expect(readSealed((await sealed()).bytes, 2_000)).toBeUndefined();
  });
});

describe("a name", () => {
  const make = async () => ({
    secretId: "k1",
    hmac: await crypto.subtle.importKey("raw", SECRET, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]),
  });

  test("is another for another account, tag, kind, request; and parts never flow into each other", async () => {
    const key = await make();
    const names = await Promise.all([
      nameAnswer(key, "a", "t", ["x", "y"]),
      nameAnswer(key, "b", "t", ["x", "y"]),
      nameAnswer(key, "a", "u", ["x", "y"]),
      nameAnswer(key, "at", "", ["x", "y"]),
      nameAnswer(key, "a", "t", ["xy"]),
      nameAnswer(key, "a", "t", ["x", "y", ""]),
      nameAnswer(key, "a", "t", ["x1:y"]),
    ]);
    expect(new Set(names.map(({ text }) => text)).size).toBe(names.length);
    expect((await nameAnswer(key, "a", "t", ["x", "y"])).text).toBe(names[0]?.text);
  });
});
