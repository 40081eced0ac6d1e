/** Accounts for the tests of their object: made anew per test, so that no test sees another's money. */
import type { AdmitAsk, AdmitVerdict, CheckedReceipt, Word, WordWhy } from "@sluice/protocol/account";
import { randomName, ulid } from "@sluice/protocol/ids";
import type { Ending } from "@sluice/protocol/receipt";
import { NEWEST } from "@sluice/protocol/version";
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { AccountObject } from "../../../src/account/account-object.ts";
import { Sql } from "../../../src/account/sql.ts";
import { Store } from "../../../src/account/store.ts";
import type { KeySettings } from "../../../src/core/account.ts";
import { accountObject, type AccountStub } from "../../../src/core/env.ts";

export const NODE = "node_0000000000";
export const REGION = "eu-1";
export const SECRET = "ab".repeat(32);

/** $1 per million tokens of either kind: a token costs 1 000 nano-dollars. */
export const PRICE = {
  id: "p1",
  inputMicroUsdPerM: 1_000_000,
  cachedMicroUsdPerM: 1_000_000,
  outputMicroUsdPerM: 1_000_000,
};
/** A request of `ask()` holds a hundred tokens of prompt and a hundred of output. */
export const HOLD = 200_000;

function dice(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(16));
}

export function newRequest(): string {
  return `req_${ulid(Date.now(), dice())}`;
}

export type Account = {
  readonly id: string;
  readonly key: string;
  readonly object: AccountStub;
  ask(change?: Partial<AdmitAsk>): AdmitAsk;
  /** Admits one request and returns its id; throws where it is refused. */
  admit(change?: Partial<AdmitAsk>): Promise<string>;
  settle(...receipts: readonly CheckedReceipt[]): Promise<unknown>;
  /** The one in this process, whatever it takes to get there. */
  inside<R>(look: (object: AccountObject, state: DurableObjectState) => R | Promise<R>): Promise<R>;
};

/** An account with one key and this much money. */
export async function openAccount(
  balanceNanoUsd: number,
  limits: Partial<KeySettings> & { readonly accountConcurrency?: number } = {},
): Promise<Account> {
  const id = `acc_any_${randomName(12, dice())}`;
  const key = `key_${randomName(10, dice())}`;
  const object = accountObject(env, id);
  const { accountConcurrency = null, ...ofKey } = limits;
  await object.configure({ account: id, concurrency: accountConcurrency });
  await object.putKey({ id: key, name: "test", secretSha256: SECRET, ...ofKey });
  if (balanceNanoUsd !== 0)
    await object.credit({ creditId: "first", amountNanoUsd: balanceNanoUsd, note: "" });
  return accountOf(id, key);
}

/** One that nobody ever configured. */
export function unknownAccount(): Account {
  return accountOf(`acc_any_${randomName(12, dice())}`, `key_${randomName(10, dice())}`);
}

function accountOf(id: string, key: string): Account {
  const ask = (change: Partial<AdmitAsk> = {}): AdmitAsk => ({
    v: NEWEST,
    account: id,
    key: { id: key, secretSha256: SECRET },
    request: newRequest(),
    model: "tiny",
    stream: true,
    promptCeiling: 100,
    outputAsked: 100,
    outputDefault: 100,
    price: PRICE,
    ...change,
  });
  return {
    id,
    key,
    // A new stub each time: one that has seen its object die stays broken.
    get object() {
      return accountObject(env, id);
    },
    ask,
    async admit(change) {
      const asked = ask(change);
      const verdict = await accountObject(env, id).admit(asked);
      if (!verdict.ok) throw new Error(`refused: ${verdict.refusal.kind}`);
      return asked.request;
    },
    settle: (...receipts) =>
      accountObject(env, id).settle({ v: NEWEST, account: id, receipts: [...receipts], renew: [] }),
    inside: (look) =>
      runInDurableObject(accountObject(env, id) as unknown as DurableObjectStub<AccountObject>, look),
  };
}

export function receipt(
  request: string,
  ended: Ending,
  more: Partial<CheckedReceipt["receipt"]> = {},
): CheckedReceipt {
  return {
    receipt: {
      v: NEWEST,
      ticket: "t1:x",
      request,
      ordinal: 0,
      choice: 0,
      node: NODE,
      boot: "boot_01JD0000000000000000000000",
      from: 0,
      to: 30,
      ended,
      prompt: 50,
      cached: 0,
      reasoning: 0,
      weights: "w1",
      begunAtMs: 0,
      endedAtMs: 0,
      queueMs: 0,
      prefillMs: 0,
      ...more,
    },
    region: REGION,
    promptCeiling: 100,
    outputCeiling: 100,
  };
}
/** What `receipt` is billed at: fifty tokens of prompt and thirty of output. */
export const COST = 80_000;

export function word(account: string, request: string, why: WordWhy, more: Partial<Word> = {}): Word {
  const place = { node: NODE, region: REGION };
  const seen = { ordinal: 0, seenTo: 0, prompt: 0, cached: 0, next: null };
  return { v: NEWEST, account, request, why, ...seen, ...place, ...more };
}

export function call(ordinal: number) {
  return { ordinal, node: NODE, region: REGION, issuedAtMs: Date.now() };
}

export function admittedCount(verdicts: readonly AdmitVerdict[]): number {
  return verdicts.filter((verdict) => verdict.ok).length;
}

/** The tables as an object finds them that has just woken. */
export function wokenStore(state: DurableObjectState, logKeepMs = 120_000): Store {
  return new Store(new Sql(state.storage.sql), logKeepMs);
}

/** An account without a past: its settings and keys stay. */
export function emptyTables({ storage: { sql } }: DurableObjectState): void {
  for (const table of ["slots", "log", "credits"]) sql.exec(`DELETE FROM ${table}`);
  sql.exec(
    `UPDATE account SET balance_nano_usd = 0, last_seq = 0, applied_seq = 0, free_slots = '[]', tail = '[]',
       counters = '{"admissions":0,"used":{}}'`,
  );
}

/** The events in the object's log, oldest first. */
export async function eventsOf(account: Account): Promise<readonly Record<string, unknown>[]> {
  return account.inside((_, state) => wokenStore(state).log.after(0, 10_000));
}

/** The usage events alone, with the fields that tell a bill. */
export async function billsOf(account: Account): Promise<readonly unknown[]> {
  return (await eventsOf(account))
    .filter((event) => event["kind"] === "usage")
    .map((event) => ({
      revision: event["revision"],
      certainty: event["certainty"],
      ended: event["ended"],
      tokens: event["completionTokens"],
      charged: event["chargedNanoUsd"],
      writtenOff: event["writeOffNanoUsd"],
    }));
}
