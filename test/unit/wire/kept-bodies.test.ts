/** An isolate keeps no more of its clients' bodies than it has room for. */
import { expect, test } from "vitest";
import { FaultError } from "../../../src/core/fault.ts";
import { keepBody, KEPT_BODIES_BYTES_MAX, type KeptBody } from "../../../src/wire/kept-bodies.ts";

const MIB = 1024 * 1024;
const BODY_BYTES_MAX = 4 * MIB;

function call(bytes: number): Request {
  return new Request("https://edge.test", {
    method: "POST",
    body: new Uint8Array(bytes),
    headers: { "content-length": String(bytes) },
  });
}

test("bodies are kept up to the bound; then a call is refused until one is done with", async () => {
  const kept: KeptBody[] = [];
  const fit = KEPT_BODIES_BYTES_MAX / BODY_BYTES_MAX;
  for (let i = 0; i < fit; i++) kept.push(await keepBody(call(BODY_BYTES_MAX), BODY_BYTES_MAX));
  await expect(keepBody(call(1), BODY_BYTES_MAX)).rejects.toMatchObject({ fault: { kind: "overloaded" } });
  kept[0]?.release();
  kept[0]?.release();
  kept.push(await keepBody(call(BODY_BYTES_MAX), BODY_BYTES_MAX));
  await expect(keepBody(call(1), BODY_BYTES_MAX)).rejects.toBeInstanceOf(FaultError);
  for (const { release } of kept) release();
});

test("a body that is refused or breaks off is kept by nobody", async () => {
  await expect(keepBody(call(5 * MIB), BODY_BYTES_MAX)).rejects.toMatchObject({
    fault: { kind: "too_large" },
  });
  const broken = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
  const request = (): Request =>
    new Request("https://edge.test", { method: "POST", body: broken, duplex: "half" } as RequestInit);
  await expect(keepBody(request(), BODY_BYTES_MAX)).rejects.toThrow();
  const whole = await keepBody(call(KEPT_BODIES_BYTES_MAX), KEPT_BODIES_BYTES_MAX);
  whole.release();
});
