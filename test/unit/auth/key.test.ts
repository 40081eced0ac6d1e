/** API keys: what passes the check, what is refused before any storage is touched. */
import { randomBytes, webcrypto } from "node:crypto";
import { toBase64Url, toHex } from "@sluice/protocol/bytes";
import * as fc from "fast-check";
import { describe, test } from "vitest";
import { checkKey, KEY_DICE_BYTES, makeKey, parseKey } from "../../../src/auth/key.ts";
import { parseSecrets, type Secrets } from "../../../src/core/secrets.ts";

const one = toBase64Url(new Uint8Array(32).fill(1));
const two = toBase64Url(new Uint8Array(32).fill(2));

function deployment(current: string, keys: Record<string, string>): Secrets {
  return parseSecrets(JSON.stringify({ current, keys }));
}

const OLD = deployment("k1", { k1: one });
const ROTATING = deployment("k2", { k1: one, k2: two });
const NEW = deployment("k2", { k2: two });
const STRANGER = deployment("k1", { k1: toBase64Url(new Uint8Array(32).fill(9)) });

const NAMES = { account: "acc_eu_0123456789ab", keyId: "key_abcdefghj0" };
const DICE = Uint8Array.from({ length: KEY_DICE_BYTES }, (_, i) => i * 7);

describe("an API key", () => {
  test("says whose it is, and proves it with the hash of its secret alone", async ({ expect }) => {
    const made = await makeKey(OLD, NAMES, DICE);
    const parsed = parseKey(made.key);
    const digest = await webcrypto.subtle.digest("SHA-256", new TextEncoder().encode(parsed?.secret));
    expect(await checkKey(OLD, made.key)).toEqual({ ...NAMES, secretSha256: toHex(new Uint8Array(digest)) });
    expect(made.secretSha256).toBe(toHex(new Uint8Array(digest)));
    expect(made.key.endsWith(made.lastFour)).toBe(true);
    expect(made.key).toMatch(/^sk-sluice-k1-eu-0123456789ab-abcdefghj0-[0-9a-z]{32}-[0-9a-z]{12}$/);
  });

  test("survives the rotation of the deployment's secret until that secret is dropped", async ({
    expect,
  }) => {
    const made = await makeKey(OLD, NAMES, DICE);
    expect(await checkKey(ROTATING, made.key)).toMatchObject(NAMES);
    expect(await checkKey(NEW, made.key)).toBeUndefined();
    const later = await makeKey(ROTATING, NAMES, DICE);
    expect(later.key).toContain("sk-sluice-k2-");
    expect(await checkKey(NEW, later.key)).toMatchObject(NAMES);
  });

  test("of another deployment is refused, though that one's secret has the same name", async ({ expect }) => {
    const made = await makeKey(STRANGER, NAMES, DICE);
    expect(await checkKey(OLD, made.key)).toBeUndefined();
  });

  test("is refused when any one character of it is another", async ({ expect }) => {
    const { key } = await makeKey(OLD, NAMES, DICE);
    const letters = "0123456789abcdefghijklmnopqrstuvwxyz-_ A";
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: key.length - 1 }),
        fc.constantFrom(...letters.split("")),
        async (at, letter) => {
          const changed = key.slice(0, at) + letter + key.slice(at + 1);
          expect(await checkKey(OLD, changed)).toEqual(
            changed === key ? expect.objectContaining(NAMES) : undefined,
          );
        },
      ),
      { numRuns: 300, seed: 1 },
    );
  });

  test("is never made twice from different dice, and always passes its own check", async ({ expect }) => {
    const seen = new Set<string>();
    for (let i = 0; i < 50; i++) {
      const { key } = await makeKey(OLD, NAMES, randomBytes(KEY_DICE_BYTES));
      expect(await checkKey(OLD, key)).toMatchObject(NAMES);
      seen.add(key);
    }
    expect(seen.size).toBe(50);
  });

  test("cannot be made with too few dice or for something that is no account", async ({ expect }) => {
    await expect(makeKey(OLD, NAMES, new Uint8Array(8))).rejects.toThrow("enough random bytes");
    await expect(makeKey(OLD, { ...NAMES, account: "acc_eu-x_0" }, DICE)).rejects.toThrow("account id");
  });
});

describe("garbage in the place of a key", () => {
  const GOOD = `sk-sluice-k1-eu-0123456789ab-abcdefghj0-${"0".repeat(32)}-${"0".repeat(12)}`;
  const CASES: readonly (readonly [string, string])[] = [
    ["nothing", ""],
    ["another provider's key", "sk-proj-abcdefghijklmnop"],
    ["upper case", GOOD.toUpperCase()],
    ["white space around it", ` ${GOOD}`],
    ["a line break at its end", `${GOOD}\n`],
    ["a part missing", GOOD.replace("-eu", "")],
    ["a part too much", `${GOOD}-0`],
    ["an account id of the wrong length", GOOD.replace("0123456789ab", "0123456789a")],
    ["a letter outside the secret's alphabet", GOOD.replace("00000000-", "0000000u-")],
    ["a home that is no word", GOOD.replace("-eu-", "-e1-")],
    ["an endless text", "sk-sluice-".padEnd(1_000_000, "a")],
    ["quotes and a comment", `sk-sluice-k1-eu-' or 1=1 --`],
  ];
  test.for(CASES)("%s is not even parsed", async ([, text], { expect }) => {
    expect(parseKey(text)).toBeUndefined();
    expect(await checkKey(OLD, text)).toBeUndefined();
  });

  test("the right shape with a wrong check is parsed and refused", async ({ expect }) => {
    expect(parseKey(GOOD)).toMatchObject({ account: NAMES.account, keyId: NAMES.keyId });
    expect(await checkKey(OLD, GOOD)).toBeUndefined();
  });
});
