/** Who calls: what is remembered of a key, and what is not. */
import { toBase64Url } from "@sluice/protocol/bytes";
import { describe, test } from "vitest";
import { authenticate } from "../../../src/auth/authenticate.ts";
import { KEY_DICE_BYTES, makeKey } from "../../../src/auth/key.ts";
import { parseSecrets, type Secrets } from "../../../src/core/secrets.ts";

const NAMES = { account: "acc_eu_0123456789ab", keyId: "key_abcdefghj0" };

function deployment(id: string, byte: number): Secrets {
  return parseSecrets(
    JSON.stringify({ current: id, keys: { [id]: toBase64Url(new Uint8Array(32).fill(byte)) } }),
  );
}

function withKey(key: string): Headers {
  return new Headers({ authorization: `Bearer ${key}` });
}

describe("a caller", () => {
  test("is the same at the second call, and is nobody to a deployment that dropped the key's secret", async ({
    expect,
  }) => {
    const old = deployment("k1", 1);
    const { key, secretSha256 } = await makeKey(old, NAMES, new Uint8Array(KEY_DICE_BYTES));
    for (let call = 0; call < 2; call++)
      expect(await authenticate(old, withKey(key), call)).toEqual({ ...NAMES, secretSha256 });
    await expect(authenticate(deployment("k2", 2), withKey(key), 2)).rejects.toMatchObject({
      fault: { kind: "unauthenticated" },
    });
  });

  test("with one letter of a known key changed is nobody", async ({ expect }) => {
    const secrets = deployment("k1", 1);
    const { key } = await makeKey(secrets, NAMES, new Uint8Array(KEY_DICE_BYTES));
    await authenticate(secrets, withKey(key), 0);
    const other = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
    await expect(authenticate(secrets, withKey(other), 0)).rejects.toMatchObject({
      fault: { kind: "unauthenticated", why: "malformed" },
    });
  });
});
