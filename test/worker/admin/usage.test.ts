/** What an account used, as an admin reads it. */
import { env } from "cloudflare:workers";
import { getTableColumns } from "drizzle-orm";
import { describe, test } from "vitest";
import { database } from "../../../src/db/database.ts";
import { usageEvents } from "../../../src/db/schema.ts";
import { ask } from "./support.ts";

const ACCOUNT = "acc_any_aaaaaaaaaaaa";
const OTHER = "acc_any_bbbbbbbbbbbb";

function request(n: number): string {
  return `req_${String(n).padStart(26, "0")}`;
}

async function used(account: string, n: number, revision: number, costNanoUsd: number): Promise<void> {
  // Every column has a value of its kind; those that matter here are set.
  const filled = Object.fromEntries(
    Object.entries(getTableColumns(usageEvents)).map(([name, column]) => [
      name,
      column.dataType === "string" ? "x" : column.dataType === "boolean" ? true : 0,
    ]),
  ) as typeof usageEvents.$inferInsert;
  await database(env)
    .insert(usageEvents)
    .values({ ...filled, account, request: request(n), revision, costNanoUsd, attempts: "[]", seq: n });
}

describe("the usage of an account", () => {
  test("is its latest requests, each as its last revision has it, in pages", async ({ expect }) => {
    for (let n = 1; n <= 5; n++) await used(ACCOUNT, n, 0, n);
    await used(ACCOUNT, 4, 1, 44_000_000);
    await used(OTHER, 9, 0, 9);
    const first = await ask("GET", `/accounts/${ACCOUNT}/usage?limit=3`);
    expect(first.body.usage).toMatchObject([
      { request: request(5), attempts: [] },
      { request: request(4), revision: 1, costUsd: "0.044" },
      { request: request(3) },
    ]);
    const second = await ask("GET", `/accounts/${ACCOUNT}/usage?limit=3&cursor=${first.body.next}`);
    expect(second.body.usage).toMatchObject([{ request: request(2) }, { request: request(1) }]);
    expect(second.body.next).toBeNull();
  });

  test("has every revision of one request", async ({ expect }) => {
    await used(ACCOUNT, 20, 0, 1);
    await used(ACCOUNT, 20, 1, 2);
    const { body } = await ask("GET", `/accounts/${ACCOUNT}/usage/${request(20)}`);
    expect(body.revisions).toMatchObject([
      { revision: 0, costNanoUsd: 1 },
      { revision: 1, costNanoUsd: 2 },
    ]);
    expect((await ask("GET", `/accounts/${OTHER}/usage/${request(20)}`)).status).toBe(404);
    expect((await ask("GET", `/accounts/${ACCOUNT}/usage/${request(21)}`)).status).toBe(404);
  });
});
