/** A finished answer under an idempotency key: there for ten minutes, wherever the client tries again, for it alone. */
import { env } from "cloudflare:workers";
import { utf8 } from "@sluice/protocol/bytes";
import { describe, test } from "vitest";
import { answerMemory } from "../../../src/cache/memory.ts";
import { findReplay, keepReplay, replayName } from "../../../src/cache/replays.ts";
import { sealKey } from "../../../src/cache/seal.ts";
import { answerNameKey, parseSecrets } from "../../../src/core/secrets.ts";
import { keptInKv } from "./support.ts";

const TEXT = '{"id":"chatcmpl-1"}';
const REPLAY = { text: TEXT, promptTokens: 1, cachedTokens: 0, completionTokens: 1, reasoningTokens: 0 };

const names = async (idempotencyKey: string, account = "acc_a", apiKey = "key_1", tag = "t") =>
  replayName(await answerNameKey(parseSecrets(env.SLUICE_SECRETS)), account, tag, { apiKey, idempotencyKey });
const keyOf = (account = "acc_a", salt = "ab".repeat(16)) =>
  sealKey("t1", async () => utf8("0123456789abcdef0123456789abcdef"), account, salt);

describe("a replay", () => {
  test("is found again in memory, in the data centre and in KV", async ({ expect }) => {
    const [name, key] = [await names("once"), await keyOf()];
    await keepReplay(env, key, name, { ...REPLAY, pinned: false });
    expect(await findReplay(env, key, name, false)).toBe(TEXT);
    answerMemory.clear();
    expect(await findReplay(env, key, name, false)).toBe(TEXT);
    await caches.default.delete(`https://answers.sluice.invalid/1/${name.text}`);
    expect(await findReplay(env, key, name, false)).toBe(TEXT);
    expect(await findReplay(env, key, name, true)).toBeUndefined();
  });

  test("is nobody else's, and gone with its salt", async ({ expect }) => {
    const [name, key] = [await names("mine"), await keyOf()];
    await keepReplay(env, key, name, { ...REPLAY, pinned: false });
    for (const other of [
      await names("mine", "acc_b"),
      await names("mine", "acc_a", "key_2"),
      await names("mine", "acc_a", "key_1", "u"),
      await names("other"),
    ])
      expect(await findReplay(env, key, other, false)).toBeUndefined();
    expect(await findReplay(env, await keyOf("acc_a", "cd".repeat(16)), name, false)).toBeUndefined();
  });

  test("of a pinned account is in memory alone", async ({ expect }) => {
    const [name, key] = [await names("pinned"), await keyOf()];
    await keepReplay(env, key, name, { ...REPLAY, pinned: true });
    expect(await findReplay(env, key, name, true)).toBe(TEXT);
    expect(await keptInKv()).not.toContain(`answer/1/${name.text}`);
    answerMemory.drop(name);
    // Not in the data centre either.
    expect(await findReplay(env, key, name, false)).toBeUndefined();
  });
});
