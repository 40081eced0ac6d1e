/** What money rests on: tickets only the edge can make, receipts only the node can sign, and what they may say. */
import { randomBytes } from "node:crypto";
import { fromBase64Url, toBase64Url } from "@sluice/protocol/bytes";
import {
  NATURAL_ENDINGS,
  isCoveredBy,
  isNatural,
  openReceipt,
  Ending,
  signReceipt,
} from "@sluice/protocol/receipt";
import { importPublicKey, signText, verifyText } from "@sluice/protocol/sign";
import {
  importTicketKey,
  openTicket,
  sealTicket,
  ticketSecretId,
  type Ticket,
} from "@sluice/protocol/ticket";
import fc from "fast-check";
import { describe, test } from "vitest";
import { NODE, OTHER_NODE, flip, keyPair, receipt, secretOf, ticket } from "./support.ts";

const nonce = (): Uint8Array<ArrayBuffer> => new Uint8Array(randomBytes(12));

describe("a ticket", () => {
  test("comes back as it went, and names its secret", async ({ expect }) => {
    const key = await importTicketKey(await secretOf("tickets"));
    const sealed = await sealTicket("k1", key, ticket, nonce());
    expect(ticketSecretId(sealed)).toBe("k1");
    expect(await openTicket(key, NODE, sealed)).toEqual({ ok: true, ticket });
  });

  test("shows the node neither account nor price", async ({ expect }) => {
    const key = await importTicketKey(await secretOf("tickets"));
    const sealed = await sealTicket("k1", key, ticket, nonce());
    const seen = Buffer.from(sealed.slice(3), "base64url").toString("latin1");
    expect(seen).not.toContain(ticket.account);
    expect(seen).not.toContain("MicroUsd");
  });

  test("is forged wherever one bit of it is turned", async ({ expect }) => {
    const key = await importTicketKey(await secretOf("tickets"));
    const sealed = await sealTicket("k1", key, ticket, nonce());
    const bytes = fromBase64Url(sealed.slice(3)) ?? new Uint8Array();
    for (let at = 0; at < bytes.length; at += 5) {
      const bent = `k1:${toBase64Url(flip(bytes, at))}`;
      expect(await openTicket(key, NODE, bent), `byte ${at}`).toEqual({ ok: false, why: "forged" });
    }
  });

  test("of another node, or under another secret, is forged", async ({ expect }) => {
    const key = await importTicketKey(await secretOf("tickets"));
    const sealed = await sealTicket("k1", key, ticket, nonce());
    expect(await openTicket(key, OTHER_NODE, sealed)).toEqual({ ok: false, why: "forged" });
    const other = await importTicketKey(await secretOf("others"));
    expect(await openTicket(other, NODE, sealed)).toEqual({ ok: false, why: "forged" });
  });

  test("of a later version is unreadable for now, not forged for ever", async ({ expect }) => {
    const key = await importTicketKey(await secretOf("tickets"));
    const later = { ...ticket, v: 2, price: undefined } as unknown as Ticket;
    expect(await openTicket(key, NODE, await sealTicket("k1", key, later, nonce()))).toEqual({
      ok: false,
      why: "unreadable",
    });
  });

  test("no text at all makes opening throw", async ({ expect }) => {
    const key = await importTicketKey(await secretOf("tickets"));
    await fc.assert(
      fc.asyncProperty(fc.string({ maxLength: 200 }), async (text) => {
        expect((await openTicket(key, NODE, text)).ok).toBe(false);
      }),
    );
  });
});

describe("a receipt", () => {
  test("is believed from the node that signed it, and from no other", async ({ expect }) => {
    const [node, other] = await Promise.all([keyPair(), keyPair()]);
    const signed = await signReceipt(node.privateKey, receipt);
    expect(await openReceipt(node.publicKey, signed)).toEqual({ ok: true, receipt });
    expect(await openReceipt(other.publicKey, signed)).toEqual({ ok: false, why: "forged" });
    const bent = { ...signed, body: signed.body.replace('"to":34', '"to":35') };
    expect(await openReceipt(node.publicKey, bent)).toEqual({ ok: false, why: "forged" });
  });

  test("whose counts contradict each other is not taken", async ({ expect }) => {
    const node = await keyPair();
    for (const wrong of [{ from: 9, to: 4 }, { prompt: 4, cached: 9 }, { to: -1 }, { to: 1.5 }]) {
      const signed = await signReceipt(node.privateKey, { ...receipt, ...wrong });
      expect((await openReceipt(node.publicKey, signed)).ok, JSON.stringify(wrong)).toBe(false);
    }
  });

  test.for([
    ["claims more output than the ceiling", { to: 257 }, {}, false],
    ["claims a larger prompt than the hold", { prompt: 121 }, {}, false],
    ["names another request", { request: "req_01JD8Z0K3V9QXR5T7W2Y4A6C8F" }, {}, false],
    ["names another attempt", { ordinal: 1 }, {}, false],
    ["comes from another node", { node: OTHER_NODE }, {}, false],
    ["starts elsewhere than the ticket", { from: 3 }, {}, false],
    ["echoes what its resume said", { from: 20, to: 34 }, { from: 20, prompt: 24, cached: 8 }, true],
    [
      "bills a resumed prompt anew",
      { from: 20, to: 34, cached: 0 },
      { from: 20, prompt: 24, cached: 8 },
      false,
    ],
    ["says what its ticket allows", {}, {}, true],
  ] as const)("that %s is judged by its ticket", ([, said, allowed, covered], { expect }) => {
    expect(isCoveredBy({ ...receipt, ...said }, { ...ticket, ...allowed }, NODE)).toBe(covered);
  });

  test("only three endings leave nothing to do", ({ expect }) => {
    expect(Ending.options.filter(isNatural)).toEqual([...NATURAL_ENDINGS]);
  });
});

describe("a signature", () => {
  test("of one kind of text is none of another kind", async ({ expect }) => {
    const { privateKey, publicKey } = await keyPair();
    const sig = await signText(privateKey, "sluice-beat", "text");
    expect(await verifyText(publicKey, "sluice-beat", "text", sig)).toBe(true);
    expect(await verifyText(publicKey, "sluice-receipt", "text", sig)).toBe(false);
    expect(await verifyText(publicKey, "sluice-beat", "text", "not a signature!")).toBe(false);
  });

  test("a public key survives being printed, and garbage is not one", async ({ expect }) => {
    const { privateKey, publicKey } = await keyPair();
    const printed = toBase64Url(new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)));
    const sig = await signText(privateKey, "sluice-enrol", "text");
    expect(await verifyText(await importPublicKey(printed), "sluice-enrol", "text", sig)).toBe(true);
    await expect(importPublicKey("short")).rejects.toThrow(TypeError);
  });
});
