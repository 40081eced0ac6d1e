/** Base64 in workerd, which has one of its own. */
import { fromBase64Url, toBase64Url } from "@sluice/protocol/bytes";
import { describe, test } from "vitest";
import { BASE64_URL_CASES, NO_BASE64_URL } from "../support/base64-cases.ts";

describe("base64url in workerd", () => {
  test("is the same there and back as everywhere", ({ expect }) => {
    for (const [bytes, text] of BASE64_URL_CASES) {
      expect(toBase64Url(Uint8Array.from(bytes))).toBe(text);
      expect(fromBase64Url(text)).toEqual(Uint8Array.from(bytes));
    }
    const long = Uint8Array.from({ length: 10_000 }, (_, at) => at % 251);
    expect(fromBase64Url(toBase64Url(long))).toEqual(long);
  });

  test("refuses what is none", ({ expect }) => {
    for (const text of NO_BASE64_URL) expect(fromBase64Url(text), JSON.stringify(text)).toBeUndefined();
  });
});
