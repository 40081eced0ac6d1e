/** An isolate keeps no more of its clients' bodies than it has room for, and nobody fills it for others. */
import { expect, test } from "vitest";
import {
  ACCOUNT_BYTES_MAX,
  keepBody,
  KEPT_BODIES_BYTES_MAX,
  type KeptBody,
} from "../../../src/wire/kept-bodies.ts";

const MIB = 1024 * 1024;
const BODY_BYTES_MAX = 4 * MIB;
const OVERLOADED = { fault: { kind: "overloaded" } };

function call(bytes: number): Request {
  return new Request("https://edge.test", {
    method: "POST",
    body: new Uint8Array(bytes),
    headers: { "content-length": String(bytes) },
  });
}

function keep(account: string, bytes: number, bytesMax = BODY_BYTES_MAX): Promise<KeptBody> {
  return keepBody(call(bytes), bytesMax, { account, keyId: `${account}'s` });
}

async function fillWith(accounts: readonly string[]): Promise<KeptBody[]> {
  const kept: KeptBody[] = [];
  for (const account of accounts)
    for (let i = 0; i < ACCOUNT_BYTES_MAX / BODY_BYTES_MAX; i++)
      kept.push(await keep(account, BODY_BYTES_MAX));
  return kept;
}

test("an account's bodies are kept up to its quarter; then its calls are refused until one is done with", async () => {
  const kept = await fillWith(["a"]);
  await expect(keep("a", 1)).rejects.toMatchObject(OVERLOADED);
  (await keep("b", BODY_BYTES_MAX)).release();
  kept[0]?.release();
  kept[0]?.release();
  kept.push(await keep("a", BODY_BYTES_MAX));
  await expect(keep("a", 1)).rejects.toMatchObject(OVERLOADED);
  for (const { release } of kept) release();
});

test("where all is full, refused is who has more than an equal share of it", async () => {
  const kept = await fillWith(["a", "b", "c", "d"]);
  kept[0]?.release();
  kept.push(await keep("e", BODY_BYTES_MAX));
  await expect(keep("a", BODY_BYTES_MAX)).rejects.toMatchObject(OVERLOADED);
  kept.push(await keep("e", BODY_BYTES_MAX), await keep("f", BODY_BYTES_MAX));
  for (const { release } of kept) release();
});

test("and nobody beyond the brim", async () => {
  const kept = await fillWith(["a", "b", "c", "d"]);
  for (const account of "efgh") kept.push(await keep(account, BODY_BYTES_MAX));
  await expect(keep("i", 1)).rejects.toMatchObject(OVERLOADED);
  for (const { release } of kept) release();
});

test("a body that is refused or breaks off is kept by nobody", async () => {
  await expect(keep("a", 5 * MIB)).rejects.toMatchObject({ fault: { kind: "too_large" } });
  const broken = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
  const init = { method: "POST", body: broken, duplex: "half" } as RequestInit;
  const request = new Request("https://edge.test", init);
  await expect(keepBody(request, BODY_BYTES_MAX, { account: "a", keyId: "a's" })).rejects.toThrow();
  const kept = await fillWith(["a", "b", "c", "d"]);
  expect(kept).toHaveLength(KEPT_BODIES_BYTES_MAX / BODY_BYTES_MAX);
  for (const { release } of kept) release();
});

test("a body arrives whole, in whatever pieces it comes", async () => {
  const whole = Uint8Array.from({ length: 300_001 }, (_, at) => at % 251);
  const sizes = [0, 1, 16_384, 99_999, 300_001];
  const pieces = sizes.map((at, n) => whole.subarray(at, sizes[n + 1] ?? at));
  const body = ReadableStream.from(pieces);
  const init = { method: "POST", body, duplex: "half" } as RequestInit;
  const request = new Request("https://edge.test", init);
  const kept = await keepBody(request, BODY_BYTES_MAX, { account: "a", keyId: "a's" });
  expect(kept.body).toEqual(whole);
  kept.release();
});
