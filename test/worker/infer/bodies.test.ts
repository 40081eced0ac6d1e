/** Bodies that arrive slowly, or not at all: they cost whoever sends them, and nobody else. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { ENROL_PATH } from "@sluice/protocol/enrol";
import { afterEach, describe, test, vi } from "vitest";
import { app } from "../../../src/app.ts";
import { BODY_IDLE_MS, BODY_TOTAL_MS, readBody } from "../../../src/wire/body.ts";
import { ask } from "../admin/support.ts";
import { newCustomer } from "../tenant/support.ts";

const MIB = 1024 * 1024;
const PIECE = new Uint8Array(256 * 1024);

afterEach(() => void vi.useRealTimers());

/** A body whose sender stops after so many bytes; `taken` when all of them were read. */
function stalled(bytes: number): {
  readonly body: ReadableStream<Uint8Array>;
  readonly taken: Promise<void>;
  readonly end: () => void;
} {
  const taken = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  let left = bytes;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        if (left > 0) {
          const piece = PIECE.slice(0, left);
          left -= piece.length;
          return controller.enqueue(piece);
        }
        taken.resolve();
        await ended.promise;
        controller.close();
      },
      cancel: () => ended.resolve(),
    },
    { highWaterMark: 0 },
  );
  return { body, taken: taken.promise, end: ended.resolve };
}

async function complete(secret: string, body: BodyInit, headers: Record<string, string> = {}) {
  const request = new Request("https://edge.example.com/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, ...headers },
    body,
  });
  const response = await app.fetch(request, env, createExecutionContext());
  const { error } = await response.json<{ error: { code: string } }>();
  return `${response.status} ${error.code}`;
}

const SHORT = JSON.stringify({ model: "nobody-has-it", messages: [{ role: "user", content: "x" }] });

describe("a revoked key that keeps its uploads open", () => {
  test.for([
    ["without saying how long they are", {}],
    ["having announced four megabytes each", { "content-length": String(4 * MIB) }],
  ] as const)(
    "%s, shuts out neither another customer nor its own account",
    async ([, headers], { expect }) => {
      const [theirs, ours] = [await newCustomer(), await newCustomer()];
      const { body: other } = await ask("POST", `/accounts/${theirs.account}/keys`, { name: "other" });
      await ask("DELETE", `/accounts/${theirs.account}/keys/${theirs.keyId}`);
      const uploads = Array.from({ length: 12 }, () => stalled(4 * MIB));
      const answers = uploads.map(({ body }) => complete(theirs.secret, body, headers));
      await Promise.all(uploads.map(({ taken }) => taken));
      expect(await complete(ours.secret, SHORT)).toBe("404 model_not_found");
      expect(await complete((other.key as { secret: string }).secret, SHORT)).toBe("404 model_not_found");
      for (const { end } of uploads) end();
      const told = await Promise.all(answers);
      expect(told.filter((one) => one === "503 overloaded")).toHaveLength(10);
      // And all of it is given back.
      expect(await complete(ours.secret, "x".repeat(4 * MIB))).toBe("400 invalid_request");
    },
  );
});

describe("a body that does not come", () => {
  const FAKED = { toFake: ["setTimeout", "clearTimeout", "Date"] } as const;

  test.for([
    ["in pieces", {}, BODY_IDLE_MS],
    ["in one piece", { "content-length": "100" }, BODY_TOTAL_MS],
  ] as const)(
    "is waited for so long, %s, and then its client is told",
    async ([, headers, waitMs], { expect }) => {
      const { secret } = await newCustomer();
      const { body, taken } = stalled(50);
      vi.useFakeTimers({ toFake: [...FAKED.toFake] });
      const answer = complete(secret, body, headers);
      await taken;
      await vi.advanceTimersByTimeAsync(waitMs);
      expect(await answer).toBe("408 request_timeout");
    },
  );

  test("at once is taken when it comes within the time of a whole one", async ({ expect }) => {
    const { body, taken, end } = stalled(50);
    vi.useFakeTimers({ toFake: [...FAKED.toFake] });
    const headers = { "content-length": "50" };
    const request = new Request("https://edge.example.com", { method: "POST", body, headers });
    const read = readBody(request, MIB);
    await taken;
    await vi.advanceTimersByTimeAsync(BODY_TOTAL_MS - 1);
    end();
    expect(await read).toHaveLength(50);
  });

  test("to the admin interface, or from a node, is a matter of time, too, and none of what was sent", async ({
    expect,
  }) => {
    for (const [path, headers] of [
      ["/admin/v1/accounts", { authorization: `Bearer ${env.SLUICE_ADMIN_TOKEN}` }],
      [ENROL_PATH, {}],
    ] as const) {
      const { body, taken } = stalled(50);
      const request = new Request(`https://edge.example.com${path}`, { method: "POST", body, headers });
      vi.useFakeTimers({ toFake: [...FAKED.toFake] });
      const answer = app.fetch(request, env, createExecutionContext());
      await taken;
      await vi.advanceTimersByTimeAsync(BODY_IDLE_MS);
      const response = await answer;
      expect(response.status).toBe(408);
      expect(await response.json()).toMatchObject({ error: { code: "too_slow" } });
      vi.useRealTimers();
    }
  });

  test("drop by drop, neither", async ({ expect }) => {
    vi.useFakeTimers({ toFake: [...FAKED.toFake] });
    const beganAtMs = Date.now();
    const drops = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          await vi.advanceTimersByTimeAsync(BODY_IDLE_MS / 2);
          controller.enqueue(new Uint8Array(1));
        },
      },
      { highWaterMark: 0 },
    );
    const request = new Request("https://edge.example.com", { method: "POST", body: drops });
    await expect(readBody(request, MIB)).rejects.toMatchObject({ fault: { kind: "too_slow" } });
    expect(Date.now() - beganAtMs).toBeLessThanOrEqual(BODY_TOTAL_MS + BODY_IDLE_MS);
  });
});

test("an answer is counted as it comes: what its length says was packed", async ({ expect }) => {
  const unpacked = stalled(64 * MIB);
  const answer = new Response(unpacked.body, { headers: { "content-length": "65250" } });
  await expect(readBody(answer, 100_000)).rejects.toMatchObject({ fault: { kind: "too_large" } });
});
