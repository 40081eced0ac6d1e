/** The end of an account's object: what it forgets, and that nothing acknowledged is forgotten with it. */
import type { EventBatch } from "@sluice/protocol/account-log";
import { describe, test, vi } from "vitest";
import type { Env } from "../../../src/core/env.ts";
import { openAccount, type Account } from "./support.ts";

const credit = (creditId: string) => ({ creditId, amountNanoUsd: 5, note: "" });

/** What the object sends from now on, by credit. */
async function sentBy(account: Account): Promise<string[]> {
  const sent: string[] = [];
  await account.inside((object) => {
    const { EVENTS } = (object as unknown as { env: Env }).env;
    vi.spyOn(EVENTS, "send").mockImplementation(async (text) => {
      const { events } = JSON.parse(text) as EventBatch;
      for (const event of events) if (event.kind === "credit") sent.push(event.creditId);
      return undefined as never;
    });
  });
  return sent;
}

/** Everything of it is in D1, and nothing is open. */
async function ended(credits: number): Promise<{ account: Account; sent: string[] }> {
  const account = await openAccount(0);
  const sent = await sentBy(account);
  for (let nr = 1; nr <= credits; nr++) await account.object.credit(credit(`old-${nr}`));
  await vi.waitFor(() => {
    if (sent.length < credits) throw new Error("not sent yet");
  });
  await account.object.applied(credits);
  await account.object.retire();
  return { account, sent };
}

describe("an account that is erased", () => {
  test("has its events sent at once when it is opened again, though its old log went farther", async ({
    expect,
  }) => {
    const { account, sent } = await ended(3);
    expect(await account.object.erase()).toBe(true);
    await account.object.configure({ account: account.id, concurrency: null });
    await account.object.credit(credit("new-1"));
    // Long before anything would be sent a second time.
    await expect.poll(() => sent, { timeout: 10_000 }).toEqual(["old-1", "old-2", "old-3", "new-1"]);
  });

  test("takes a payout that comes at that moment whole, or refuses it", async ({ expect }) => {
    for (const order of ["erase first", "payout first"]) {
      const { account } = await ended(1);
      const { object } = account;
      const paid = () =>
        object.credit(credit("payout")).then(
          () => true,
          () => false,
        );
      const both =
        order === "erase first"
          ? await Promise.all([object.erase(), paid()])
          : (await Promise.all([paid(), object.erase()])).toReversed();
      const balance = (await object.status())?.balanceNanoUsd;
      const [erased, isPaid] = both;
      expect([erased, isPaid, balance]).toEqual(isPaid ? [false, true, 10] : [true, false, undefined]);
    }
  });
});
