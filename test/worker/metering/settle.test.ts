/** What a beat's receipts come to: the sound ones reach their accounts, the others are told apart. */
import { toBase64Url } from "@sluice/protocol/bytes";
import { signReceipt, type Receipt } from "@sluice/protocol/receipt";
import type { Signed } from "@sluice/protocol/sign";
import { importTicketKey, sealTicket } from "@sluice/protocol/ticket";
import { env } from "cloudflare:workers";
import { beforeAll, describe, test } from "vitest";
import { derive, parseSecrets } from "../../../src/core/secrets.ts";
import { settleBeat } from "../../../src/metering/settle.ts";
import { COST, HOLD, newRequest, NODE, openAccount, REGION, type Account } from "../account/support.ts";
import { seal, ticketOf } from "./tickets.ts";

const OTHER_NODE = "node_1111111111";
const BOOT = "boot_01JD0000000000000000000000";

let keys: CryptoKeyPair;
let strangers: CryptoKeyPair;

beforeAll(async () => {
  keys = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
  strangers = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
});

async function signed(ticket: string, request: string, change: Partial<Receipt> = {}): Promise<Signed> {
  const receipt: Receipt = {
    v: 1,
    ticket,
    request,
    ordinal: 0,
    choice: 0,
    node: NODE,
    boot: BOOT,
    from: 0,
    to: 30,
    ended: "stop",
    prompt: 50,
    cached: 0,
    reasoning: 0,
    weights: "w1",
    begunAtMs: 1,
    endedAtMs: 2,
    queueMs: 0,
    prefillMs: 0,
    ...change,
  };
  return signReceipt(keys.privateKey, receipt);
}

/** A sound receipt of a request this account has running. */
async function sound(account: Account): Promise<{ readonly request: string; readonly receipt: Signed }> {
  const request = await account.admit();
  return { request, receipt: await signed(await seal(ticketOf(account.id, request)), request) };
}

function settle(
  receipts: readonly Signed[],
  renew: { ticket: string; position: number }[] = [],
  where = env,
) {
  const node = { id: NODE, region: REGION, url: "http://127.0.0.1:1", publicKey: "" };
  return settleBeat(where, node, keys.publicKey, { receipts: [...receipts], renew });
}

describe("a beat's receipts", () => {
  test("close their requests in the accounts they belong to, and are acknowledged", async ({ expect }) => {
    const [one, other] = await Promise.all([openAccount(10 * HOLD), openAccount(10 * HOLD)]);
    const sent = await Promise.all([sound(one), sound(other), sound(one)]);
    const settled = await settle(sent.map(({ receipt }) => receipt));
    expect(settled.rejected).toEqual([]);
    expect(settled.acks.map(({ request }) => request).sort()).toEqual(
      sent.map(({ request }) => request).sort(),
    );
    expect(await one.object.status()).toMatchObject({ balanceNanoUsd: 10 * HOLD - 2 * COST, holdsOpen: 0 });
    expect(await other.object.status()).toMatchObject({ balanceNanoUsd: 10 * HOLD - COST, holdsOpen: 0 });
  });

  test("that another key signed are rejected as forged", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const request = await account.admit();
    const ticket = await seal(ticketOf(account.id, request));
    const { body } = await signed(ticket, request);
    const { sig } = await signReceipt(strangers.privateKey, JSON.parse(body) as Receipt);
    expect(await settle([{ body, sig }])).toEqual({
      acks: [],
      renewed: [],
      rejected: [{ ticket, why: "forged" }],
    });
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 10 * HOLD, holdsOpen: 1 });
  });

  test("with a ticket that we did not seal, or sealed for another node, are rejected as forged", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    const request = await account.admit();
    const others = await seal(ticketOf(account.id, request, { node: OTHER_NODE }));
    const made = `t1:${toBase64Url(new Uint8Array(64))}`;
    const settled = await settle([
      await signed(others, request),
      await signed(made, request),
      await signed("no colon at all", request),
    ]);
    expect(settled.rejected.map(({ why }) => why)).toEqual(["forged", "forged", "forged"]);
    expect(settled.acks).toEqual([]);
  });

  const IMPOSSIBLE: readonly (readonly [string, Partial<Receipt>])[] = [
    ["claim more output than the edge allowed", { to: 101 }],
    ["claim a larger prompt than the edge allowed", { prompt: 101 }],
    ["name another request", { request: newRequest() }],
    ["name another attempt", { ordinal: 1 }],
    ["begin elsewhere", { from: 5 }],
    ["are for an answer nobody asked for", { choice: 1 }],
  ];

  test.for(IMPOSSIBLE)("that %s are rejected as impossible", async ([, change], { expect }) => {
    const account = await openAccount(10 * HOLD);
    const request = await account.admit();
    const ticket = await seal(ticketOf(account.id, request));
    const settled = await settle([await signed(ticket, request, change)]);
    expect(settled).toEqual({ acks: [], renewed: [], rejected: [{ ticket, why: "impossible" }] });
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 10 * HOLD, heldNanoUsd: HOLD });
  });

  test("under a secret that is not held here are left for another edge", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const request = await account.admit();
    const elsewhere = parseSecrets(
      JSON.stringify({ current: "x9", keys: { x9: toBase64Url(new Uint8Array(32).fill(9)) } }),
    );
    const bytes = await derive(elsewhere, "x9", "ticket", NODE);
    const key = await importTicketKey(bytes ?? new Uint8Array(32));
    const ticket = await sealTicket("x9", key, ticketOf(account.id, request), new Uint8Array(12));
    expect(await settle([await signed(ticket, request)])).toEqual({ acks: [], renewed: [], rejected: [] });
  });

  test("of an account that is away come again; the others are settled meanwhile", async ({ expect }) => {
    const [here, away] = await Promise.all([openAccount(10 * HOLD), openAccount(10 * HOLD)]);
    const [good, lost] = await Promise.all([sound(here), sound(away)]);
    const ACCOUNTS = new Proxy(env.ACCOUNTS, {
      get: (accounts, name) => {
        if (name === "idFromName")
          return (account: string) => {
            if (account === away.id) throw new Error("this object is away");
            return accounts.idFromName(account);
          };
        const value: unknown = Reflect.get(accounts, name);
        return typeof value === "function" ? (value.bind(accounts) as unknown) : value;
      },
    });
    const settled = await settle([good.receipt, lost.receipt], [], { ...env, ACCOUNTS });
    expect(settled.acks).toEqual([{ request: good.request, ordinal: 0, choice: 0 }]);
    expect(await away.object.status()).toMatchObject({ holdsOpen: 1 });
    expect((await settle([lost.receipt])).acks).toHaveLength(1);
    expect(await away.object.status()).toMatchObject({ holdsOpen: 0 });
  });
});

describe("a beat's renewals", () => {
  test("reach their accounts and are named in the reply; a forged one is not", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const request = await account.admit();
    const ticket = await seal(ticketOf(account.id, request));
    const settled = await settle(
      [],
      [
        { ticket, position: 12 },
        { ticket: "t1:AAAA", position: 3 },
      ],
    );
    expect(settled).toEqual({ acks: [], renewed: [{ request, ordinal: 0, choice: 0 }], rejected: [] });
  });
});
