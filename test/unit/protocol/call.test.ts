/** The node call: what is framed comes apart as it was, and nobody but the edge can make one for this node. */
import { toBase64Url, utf8 } from "@sluice/protocol/bytes";
import {
  CallHead,
  frameCall,
  importCallKey,
  isFresh,
  signCall,
  unframeCall,
  verifyCall,
} from "@sluice/protocol/call";
import { CALL_HEAD_BYTES_MAX, CALL_SKEW_MS, CALL_VALID_MS } from "@sluice/protocol/limits";
import fc from "fast-check";
import { describe, test } from "vitest";
import { flip, head, secretOf } from "./support.ts";

const PATH = "/v1/chat/completions";

describe("the frame of a call", () => {
  test("any client body comes out byte for byte", ({ expect }) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (clientBody) => {
        const unframed = unframeCall(frameCall(head, clientBody));
        expect(unframed.ok && [...unframed.clientBody]).toEqual([...clientBody]);
        expect(unframed.ok && unframed.head).toEqual(head);
      }),
    );
  });

  test("no bytes at all make it throw", ({ expect }) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (body) => {
        expect(unframeCall(body).ok).toBe(false);
      }),
    );
  });

  test.for([
    ["without an end of the head", utf8(JSON.stringify(head)), "no_head"],
    ["with a head that is not JSON", utf8("{]\n{}"), "bad_head"],
    [
      "with a head that lacks a field",
      utf8(`${JSON.stringify({ ...head, tag: undefined })}\n{}`),
      "bad_head",
    ],
    ["of a version not spoken", utf8(`${JSON.stringify({ ...head, v: 99 })}\n{}`), "unknown_version"],
    ["of a version not spoken, in a shape not known", utf8('{"v":99,"say":"what"}\n{}'), "unknown_version"],
    ["with an endless head", utf8(`${" ".repeat(CALL_HEAD_BYTES_MAX + 1)}\n{}`), "head_too_long"],
  ] as const)("a call %s is refused as such", ([, body, why], { expect }) => {
    expect(unframeCall(body)).toEqual({ ok: false, why });
  });

  test("a field of a later version is ignored", ({ expect }) => {
    const later = { ...head, priority: "high", resume: undefined };
    expect(CallHead.parse(later)).toEqual(head);
  });

  test("a resume carries one token per position", ({ expect }) => {
    const resume = { from: 3, tokens: [5, 6], prompt: 24, cached: 8 };
    expect(CallHead.safeParse({ ...head, resume }).success).toBe(false);
    expect(CallHead.safeParse({ ...head, resume: { ...resume, tokens: [5, 6, 7] } }).success).toBe(true);
  });
});

describe("the MAC of a call", () => {
  test("holds for this body, this path and this node alone", async ({ expect }) => {
    const key = await importCallKey(await secretOf("node one"));
    const body = frameCall(head, utf8('{"model":"deepseek-chat"}'));
    const mac = await signCall("k1", key, PATH, body);
    expect(await verifyCall(new Map([["k1", key]]), mac, PATH, body)).toBe(true);
    expect(await verifyCall(new Map([["k1", key]]), mac, "/v1/other", body)).toBe(false);
    const foreign = await importCallKey(await secretOf("node two"));
    expect(await verifyCall(new Map([["k1", foreign]]), mac, PATH, body)).toBe(false);
    expect(await verifyCall(new Map([["k2", key]]), mac, PATH, body)).toBe(false);
    for (let at = 0; at < body.length; at += 7)
      expect(await verifyCall(new Map([["k1", key]]), mac, PATH, flip(body, at)), `byte ${at}`).toBe(false);
  });

  test("two keys are live while one replaces the other", async ({ expect }) => {
    const keys = new Map([
      ["k1", await importCallKey(await secretOf("old"))],
      ["k2", await importCallKey(await secretOf("new"))],
    ]);
    const body = frameCall(head, utf8("{}"));
    for (const [id, key] of keys)
      expect(await verifyCall(keys, await signCall(id, key, PATH, body), PATH, body)).toBe(true);
  });

  test.for([
    undefined,
    "",
    "k1",
    "k1:",
    ":abc",
    "k1:abc:def",
    "K1:abc",
    "k1:not base64url",
    `k1:${toBase64Url(new Uint8Array(32))}`,
  ])("the header %j proves nothing", async (header, { expect }) => {
    const keys = new Map([["k1", await importCallKey(await secretOf("node"))]]);
    expect(await verifyCall(keys, header, PATH, utf8("{}"))).toBe(false);
  });
});

test("a call is fresh for ten seconds, and a little before it was issued", ({ expect }) => {
  const { issuedAtMs } = head;
  expect(isFresh(issuedAtMs, issuedAtMs + CALL_VALID_MS)).toBe(true);
  expect(isFresh(issuedAtMs, issuedAtMs + CALL_VALID_MS + 1)).toBe(false);
  expect(isFresh(issuedAtMs, issuedAtMs - CALL_SKEW_MS)).toBe(true);
  expect(isFresh(issuedAtMs, issuedAtMs - CALL_SKEW_MS - 1)).toBe(false);
});
