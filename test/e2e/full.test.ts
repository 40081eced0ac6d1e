/** When nothing has room, a call waits for some as long as it may, and then is told when to come back. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, slotsBusy, Stack, type Tenant } from "../support/stack.ts";

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  const nodeArgs = ["--slots", "1", "--queue-max", "0"];
  platform = await temporaryPlatform({ nodeCount: 1, nodeArgs });
  stack = new Stack(platform);
});
afterAll(() => platform?.[Symbol.asyncDispose]());

/** An answer that fills the only slot until its client leaves. */
async function fill(tenant: Tenant): Promise<AbortController> {
  const leaving = new AbortController();
  const body = {
    model: platform.model,
    stream: true,
    messages: stack.script({ tokens: 10_000, everyMs: 20, think: 0 }),
  };
  const response = await stack.post(tenant, body, { signal: leaving.signal });
  expect(response.status).toBe(200);
  response.text().catch(() => undefined);
  return leaving;
}

test("a call that finds everything full is answered when room comes in time, else told to come back, and pays nothing", async () => {
  const [long, short] = [await stack.tenant(), await stack.tenant()];
  const leaving = await fill(long);
  const body = { model: platform.model, messages: stack.script({ tokens: 1, think: 0 }) };

  const refused = await stack.post(short, body);
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ error: { code: "overloaded" } });

  // The slot comes free while the next call waits.
  const waiting = stack.post(short, body);
  await eventually("the waiting call to be held", 5_000, async () =>
    (await stack.status(short)).holdsOpen > 0 ? true : undefined,
  );
  leaving.abort();
  expect((await waiting).status).toBe(200);

  await eventually("the slot to be free", 10_000, async () =>
    (await slotsBusy(platform.nodes[0]?.url ?? "")) === 0 ? true : undefined,
  );
  await stack.settled(short, 15_000);
  // The refused one leaves a row that costs nothing, or none.
  const billed = await eventually("the answer's bill", 10_000, async () => {
    const rows = (await stack.usage(short)).filter(({ costNanoUsd }) => costNanoUsd > 0);
    return rows.length > 0 ? rows : undefined;
  });
  expect(billed).toHaveLength(1);
  expect(billed[0]).toMatchObject({ ended: "stop", completionTokens: 2 });
});
