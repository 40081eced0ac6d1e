/** What should not happen leaves a row for the operator, few rows however often it happens, and changes no bill. */
import { signReceipt, type Receipt } from "@sluice/protocol/receipt";
import type { Signed } from "@sluice/protocol/sign";
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { raiseAlert } from "../../../src/db/alerts.ts";
import { DEAD_LETTERS } from "../../../src/metering/project.ts";
import { settleBeat } from "../../../src/metering/settle.ts";
import { HOLD, openAccount, receipt, REGION, type Account } from "../account/support.ts";
import { ask } from "../admin/support.ts";
import { batchOf, deliver, usage } from "./support.ts";
import { seal, ticketOf } from "./tickets.ts";

const keys = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;

/** A node of this test's own, so that it finds its own alerts. */
let nodes = 0;
function newNode(): string {
  return `node_${String(nodes++).padStart(10, "0")}`;
}

async function signed(
  account: Account,
  node: string,
  request: string,
  change: Partial<Receipt>,
): Promise<Signed> {
  const sealed = await seal(ticketOf(account.id, request, { node, issuedAtMs: Date.now() }));
  const base = receipt(request, "stop", { node, ticket: sealed }).receipt;
  return signReceipt(keys.privateKey, { ...base, ...change });
}

function settle(node: string, receipts: readonly Signed[]) {
  const record = { id: node, region: REGION, url: "http://127.0.0.1:1", publicKey: "" };
  return settleBeat(env, record, keys.publicKey, { receipts: [...receipts], renew: [] });
}

async function alertsOf(subject: string) {
  const { results } = await env.DB.prepare("select * from alerts where subject = ? order by id")
    .bind(subject)
    .all<{ kind: string; times: number; detail: string; seen_at_ms: number | null }>();
  return results;
}

async function alerted(subject: string, kind: string) {
  return vi.waitFor(async () => {
    const found = (await alertsOf(subject)).find((alert) => alert.kind === kind);
    if (found === undefined) throw new Error(`no ${kind} of ${subject} yet`);
    return found;
  });
}

describe("a receipt", () => {
  const BAD: readonly (readonly [string, Partial<Receipt>, string])[] = [
    ["less than nothing", { to: -5, from: -5 }, "receipt_impossible"],
    ["half a token", { prompt: 1.5 }, "receipt_impossible"],
    ["more than the ceiling", { to: 101 }, "receipt_impossible"],
    ["an absurd prompt", { prompt: 10_000_000, cached: 0 }, "receipt_impossible"],
    ["an ending nobody knows", { ended: "bored" as never }, "receipt_unreadable"],
  ];
  test.for(BAD)("of %s changes no bill, and is told of", async ([, change, kind], { expect }) => {
    const [account, node] = [await openAccount(10 * HOLD), newNode()];
    const request = await account.admit();
    const { acks, rejected } = await settle(node, [await signed(account, node, request, change)]);
    expect(acks).toEqual([]);
    expect(rejected.map(({ why }) => why)).toEqual(kind === "receipt_impossible" ? ["impossible"] : []);
    expect(await account.object.status()).toMatchObject({ balanceNanoUsd: 10 * HOLD, holdsOpen: 1 });
    expect(await alerted(node, kind)).toMatchObject({ times: 1, seen_at_ms: null });
  });

  test("that is forged, or tells of the same attempt otherwise, is told of", async ({ expect }) => {
    const [account, node] = [await openAccount(10 * HOLD), newNode()];
    // A second attempt is known, so that the first receipt does not end the request.
    const request = await account.admit();
    const first = await signed(account, node, request, { ended: "node_died", to: 5 });
    await settle(node, [first, first]);
    expect(await alertsOf(node)).toEqual([]);
    await settle(node, [await signed(account, node, request, { ended: "node_died", to: 9 })]);
    expect((await alerted(node, "receipt_contradicts")).detail).toBe(`${request}, attempt 0`);
    const forged = { ...first, body: first.body.replace('"to":5', '"to":6') };
    await settle(node, [forged]);
    expect(await alerted(node, "receipt_forged")).toMatchObject({ times: 1 });
  });

  test("of a node gone bad fills no table: a row a day and kind, and a write a minute", async ({
    expect,
  }) => {
    const [account, node] = [await openAccount(10 * HOLD), newNode()];
    const request = await account.admit();
    const bad = await signed(account, node, request, { to: 101 });
    for (let i = 0; i < 20; i++) await settle(node, [bad, bad, bad]);
    expect(await alerted(node, "receipt_impossible")).toMatchObject({ times: 1 });
    expect(await alertsOf(node)).toHaveLength(1);
    const later = Date.now() + 61_000;
    await raiseAlert(env, { kind: "receipt_impossible", subject: node, detail: "again" }, later);
    expect((await alertsOf(node)).map(({ times, detail }) => [times, detail])).toEqual([[21, "again"]]);
  });
});

test("a write-off and a dead letter are told of by the account they are of", async ({ expect }) => {
  const [one, other] = [(await openAccount(0)).id, (await openAccount(0)).id];
  const event = usage(1, 10, { writeOffNanoUsd: 7 });
  await deliver([batchOf(one, [event])]);
  expect((await alerted(one, "write_off")).detail).toBe(`${event.request}: 7 nano-dollars in all`);
  await deliver([batchOf(other, [usage(3, 1), usage(4, 1)])], DEAD_LETTERS);
  expect((await alerted(other, "dead_letter")).detail).toBe("events 3 to 4");
});

test("alerts are listed until they were seen, and again when it happens again", async ({ expect }) => {
  const subject = newNode();
  const alert = { kind: "books_differ", subject, detail: "x" } as const;
  await raiseAlert(env, alert, 1_000);
  const mine = async (query = "") =>
    (await ask("GET", `/alerts${query}`)).body.alerts.filter(
      (row: { subject: string }) => row.subject === subject,
    );
  const [row] = await mine();
  expect(row).toMatchObject({ kind: "books_differ", subject, detail: "x", times: 1, firstAtMs: 1_000 });
  expect((await ask("POST", "/alerts/seen", { id: row.id })).body).toEqual({ seen: 1 });
  expect([await mine(), (await mine("?all=true")).length]).toEqual([[], 1]);
  expect((await ask("POST", "/alerts/seen", { id: row.id })).status).toBe(404);
  await raiseAlert(env, alert, 100_000);
  expect(await mine()).toMatchObject([{ times: 2, firstAtMs: 1_000, lastAtMs: 100_000 }]);
});
