/** What a node journalled and the edge never billed is found, by the node's own list of it, and told. */
import type { JournalList } from "@sluice/protocol/journal";
import { TICKET_CHARS_MAX } from "@sluice/protocol/limits";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, test, vi } from "vitest";
import type { Env } from "../../../src/core/env.ts";
import { choreCursor } from "../../../src/db/chores.ts";
import { NODE_ANSWER_BYTES_MAX } from "../../../src/keeping/ask-node.ts";
import { walkJournal } from "../../../src/keeping/unbilled.ts";
import { journalsStep } from "../../../src/keeping/unbilled-step.ts";
import { HOLD, newRequest, openAccount, receipt, REGION, type Account } from "../account/support.ts";
import { ask } from "../admin/support.ts";
import { seal, ticketOf } from "../metering/tickets.ts";

const NODE = "node_ab12cd34ef";
const SINCE_MS = 1_000;
const HOUR_MS = 3_600_000;
const PROJECTED_WITHIN_MS = 15_000;

type Listed = JournalList["attempts"][number];

/** What the node's journal holds. The node itself is a machine elsewhere. */
const journal: {
  sinceMs: number;
  lastId?: number;
  attempts: Listed[];
  away: boolean;
  limit: number;
  padding: number;
} = {
  sinceMs: SINCE_MS,
  attempts: [],
  away: false,
  limit: 500,
  padding: 0,
};

beforeEach(async () => {
  Object.assign(journal, {
    sinceMs: SINCE_MS,
    lastId: undefined,
    attempts: [],
    away: false,
    limit: 500,
    padding: 0,
  });
  await env.DB.prepare("delete from nodes").run();
  await env.DB.prepare("delete from chores").run();
  await env.DB.prepare(
    "insert into nodes (id, name, region, url, public_key, created_at_ms) values (?, 'n', ?, 'https://gpu.example.com', 'k', 0)",
  )
    .bind(NODE, REGION)
    .run();
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
    if (journal.away) throw new Error("away");
    const url = new URL(input instanceof Request ? input.url : input);
    const after = Number(url.searchParams.get("after"));
    const beyond = journal.attempts.filter(({ id }) => id > after);
    const attempts = beyond.slice(0, journal.limit);
    const { sinceMs, lastId } = journal;
    const padding = " ".repeat(journal.padding);
    return Response.json({ v: 1, sinceMs, lastId, padding, attempts, more: beyond.length > journal.limit });
  });
});
afterEach(() => void vi.restoreAllMocks());

async function listed(
  account: string,
  request: string,
  more: Partial<Listed> & { ordinal?: number; issuedAtMs?: number } = {},
) {
  const { ordinal = 0, issuedAtMs = Date.now() - 2 * HOUR_MS, ...rest } = more;
  const ticket = await seal(ticketOf(account, request, { ordinal, node: NODE, issuedAtMs }));
  const attempt = { request, ordinal, choice: 0 };
  const id = journal.attempts.length + 1;
  journal.attempts.push({ id, attempt, ticket, to: 30, ended: "stop", receipt: "acknowledged", ...rest });
}

async function billed(account: Account): Promise<string> {
  const request = await account.admit();
  await account.settle(receipt(request, "stop"));
  await projected(account);
  return request;
}

/** A request that was billed, over a queue that takes messages and loses them. */
async function unheard(account: Account): Promise<string> {
  await account.inside((object) => {
    const { EVENTS } = (object as unknown as { env: Env }).env;
    vi.spyOn(EVENTS, "send").mockImplementation(async () => undefined as never);
  });
  const request = await account.admit();
  await account.settle(receipt(request, "stop"));
  return request;
}

async function projected(account: Account): Promise<Account> {
  await vi.waitFor(
    async () => {
      const status = await account.object.status();
      if (status === null || status.eventsUnprojected > 0) throw new Error("not projected yet");
    },
    { timeout: PROJECTED_WITHIN_MS, interval: 50 },
  );
  return account;
}

describe("what a node journalled", () => {
  test("and was billed is in order; what has no row, an attempt too many, or a receipt nobody took is told", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    const known = await billed(account);
    const never = newRequest();
    await listed(account.id, known);
    await listed(account.id, known, { ordinal: 3 });
    await listed(account.id, never);
    await listed(account.id, known, { receipt: "waiting" });
    await listed(account.id, newRequest(), { ticket: "k9:AAAA" });
    const walked = await walkJournal(env, NODE, "", Date.now());
    expect(walked).toMatchObject({
      reached: true,
      listed: 5,
      early: 0,
      more: false,
      cursor: `${SINCE_MS}:5`,
    });
    expect(walked.differences).toMatchObject([
      { what: "unbilled", account: account.id, request: known, ordinal: 3, positions: 30 },
      { what: "unbilled", account: account.id, request: never, ordinal: 0 },
      { what: "unacknowledged", request: known, ordinal: 0 },
      { what: "unreadable", account: null },
    ]);
  });

  test("and D1 has yet to hear of is not compared", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const request = await unheard(account);
    await listed(account.id, request);
    expect(await walkJournal(env, NODE, "", Date.now())).toMatchObject({ early: 1, differences: [] });
  });

  test("and was never billed is found though its account is busy: D1 has yet to hear of other requests", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    await unheard(account);
    const never = newRequest();
    await listed(account.id, never);
    const walked = await walkJournal(env, NODE, "", Date.now());
    expect(walked).toMatchObject({ early: 0, differences: [{ what: "unbilled", request: never }] });
  });

  test("of a request that still runs is waited for, and nothing behind it is passed; a day at most", async ({
    expect,
  }) => {
    const account = await projected(await openAccount(10 * HOLD));
    const request = await account.admit();
    await listed(account.id, request);
    const never = newRequest();
    await listed(account.id, never);
    const first = await walkJournal(env, NODE, "", Date.now());
    expect(first).toMatchObject({ early: 2, differences: [], cursor: `${SINCE_MS}:0`, more: false });
    expect((await walkJournal(env, NODE, "", Date.now() + 24 * HOUR_MS)).differences).toMatchObject([
      { what: "unbilled", request },
      { what: "unbilled", request: never },
    ]);
    await account.settle(receipt(request, "stop"));
    await projected(account);
    const then = await walkJournal(env, NODE, first.cursor, Date.now());
    expect(then).toMatchObject({ early: 0, differences: [{ request: never }], cursor: `${SINCE_MS}:2` });
  });

  test("and ended a moment ago is not compared, however long ago it began", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const request = await billed(account);
    const endedAtMs = Date.now() - 1_000;
    await listed(account.id, request, { receipt: "waiting", endedAtMs });
    expect(await walkJournal(env, NODE, "", Date.now())).toMatchObject({ early: 1, differences: [] });
    const later = await walkJournal(env, NODE, "", endedAtMs + HOUR_MS);
    expect(later.differences).toMatchObject([{ what: "unacknowledged", request }]);
  });

  test("of an account that cannot be asked waits", async ({ expect }) => {
    const account = await projected(await openAccount(10 * HOLD));
    await listed(account.id, newRequest());
    const underWay = async () => Promise.reject(new Error("broken"));
    const ACCOUNTS = { idFromName: (name: string) => name, get: () => ({ underWay }) };
    const broken = { ...env, ACCOUNTS } as unknown as Env;
    const walked = await walkJournal(broken, NODE, "", Date.now());
    expect(walked).toMatchObject({ early: 1, differences: [], cursor: `${SINCE_MS}:0` });
    expect((await walkJournal(env, NODE, walked.cursor, Date.now())).differences).toHaveLength(1);
  });

  test("is gone through once, a stretch at a time; another journal from its beginning; a node that is away keeps its place", async ({
    expect,
  }) => {
    const account = await openAccount(10 * HOLD);
    for (let nr = 0; nr < 5; nr++) await listed(account.id, newRequest());
    journal.limit = 2;
    const first = await walkJournal(env, NODE, "", Date.now());
    expect(first).toMatchObject({ listed: 2, more: true, cursor: `${SINCE_MS}:2` });
    journal.away = true;
    expect(await walkJournal(env, NODE, first.cursor, Date.now())).toMatchObject({
      reached: false,
      cursor: first.cursor,
      more: false,
    });
    journal.away = false;
    journal.sinceMs = 2_000;
    const anew = await walkJournal(env, NODE, first.cursor, Date.now());
    expect(anew).toMatchObject({ listed: 2, cursor: "2000:2" });
    // The same by name, and yet an older state of it: it never had so many attempts.
    journal.lastId = 5;
    expect(await walkJournal(env, NODE, "2000:5", Date.now())).toMatchObject({ listed: 0, cursor: "2000:5" });
    expect(await walkJournal(env, NODE, "2000:6", Date.now())).toMatchObject({ listed: 2, cursor: "2000:2" });
    Object.assign(journal, { attempts: [], lastId: 0 });
    expect(await walkJournal(env, NODE, "2000:6", Date.now())).toMatchObject({ listed: 0, cursor: "2000:0" });
  });

  test("and was never billed is an alert by cron, told once", async ({ expect }) => {
    const account = await projected(await openAccount(10 * HOLD));
    const never = newRequest();
    await listed(account.id, never);
    await journalsStep(env, Date.now());
    await journalsStep(env, Date.now());
    const { body } = await ask("GET", "/alerts");
    const alerts = (body.alerts as { kind: string; subject: string; detail: string; times: number }[]).filter(
      ({ kind }) => kind === "journal_unbilled",
    );
    expect(alerts).toMatchObject([{ subject: NODE, times: 1 }]);
    expect(alerts[0]?.detail).toContain(`unbilled: ${never}, attempt 0, 30 positions`);
  });

  test("and cannot be compared holds up no other node's", async ({ expect }) => {
    const account = await projected(await openAccount(10 * HOLD));
    await listed(account.id, newRequest());
    // Its tickets are not this one's: for that nothing has to be read.
    const other = "node_cd34ef56gh";
    await env.DB.prepare(
      "insert into nodes (id, name, region, url, public_key, created_at_ms) values (?, 'o', ?, 'https://gpu2.example.com', 'k2', 0)",
    )
      .bind(other, REGION)
      .run();
    const prepare = (statement: string): D1PreparedStatement => {
      if (statement.includes("usage_events")) throw new Error("D1 is overloaded");
      return env.DB.prepare(statement);
    };
    const DB = { prepare, batch: (statements: D1PreparedStatement[]) => env.DB.batch(statements) };
    await journalsStep({ ...env, DB } as unknown as Env, Date.now());
    expect(await choreCursor(env, `journal/${other}`)).toBe(`${SINCE_MS}:1`);
    expect(await choreCursor(env, `journal/${NODE}`)).toBe("");
    await journalsStep(env, Date.now());
    expect(await choreCursor(env, `journal/${NODE}`)).toBe(`${SINCE_MS}:1`);
  });

  test("is told by the names that the edge sealed, whatever the node calls it", async ({ expect }) => {
    const account = await openAccount(10 * HOLD);
    const known = await billed(account);
    const never = newRequest();
    await listed(account.id, never, { attempt: { request: known, ordinal: 0, choice: 0 } });
    const { differences } = await walkJournal(env, NODE, "", Date.now());
    expect(differences).toMatchObject([{ what: "unbilled", request: never, ordinal: 0 }]);
  });

  test("in a list longer than a list can be is not read, nor is a ticket that none of ours is", async ({
    expect,
  }) => {
    const account = await projected(await openAccount(10 * HOLD));
    await listed(account.id, newRequest());
    journal.padding = NODE_ANSWER_BYTES_MAX;
    expect(await walkJournal(env, NODE, "", Date.now())).toMatchObject({ reached: false, cursor: "" });
    journal.padding = 0;
    await listed(account.id, newRequest(), { ticket: `t1:${"A".repeat(TICKET_CHARS_MAX)}` });
    expect(await walkJournal(env, NODE, "", Date.now())).toMatchObject({ reached: false, cursor: "" });
  });

  test("longer ago than a node keeps it is said in the log, where a step does not come to its end", async ({
    expect,
  }) => {
    const account = await projected(await openAccount(10 * HOLD));
    const logged = vi.spyOn(console, "log").mockImplementation(() => undefined);
    journal.limit = 1;
    for (let nr = 0; nr < 6; nr++)
      await listed(account.id, newRequest(), { issuedAtMs: Date.now() - (6 - nr) * 24 * HOUR_MS });
    const behind = () => logged.mock.calls.filter(([line]) => String(line).includes("journal_walk_behind"));
    await journalsStep(env, Date.now());
    expect(behind()).toEqual([]);
    await env.DB.prepare("delete from chores").run();
    await journalsStep(env, Date.now() + 4 * 24 * HOUR_MS);
    expect(behind()).toHaveLength(1);
  });

  test("is asked for by an operator, node by node", async ({ expect }) => {
    const account = await projected(await openAccount(10 * HOLD));
    await listed(account.id, newRequest());
    const { status, body } = await ask("POST", "/reconcile/journal", { node: NODE });
    expect([status, body.differences.length, body.cursor]).toEqual([200, 1, `${SINCE_MS}:1`]);
    expect((await ask("POST", "/reconcile/journal", { node: "node_zzzzzzzzzz" })).status).toBe(404);
  });
});
