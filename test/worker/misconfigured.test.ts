/** A deployment without usable secrets refuses to serve, says which setting is wrong, and never its value. */
import { createExecutionContext, env } from "cloudflare:test";
import { expect, test } from "vitest";
import { app } from "../../src/app.ts";
import type { Env } from "../../src/core/env.ts";

async function health(secrets: string | undefined): Promise<{ status: number; text: string }> {
  const bindings = { ...(env as unknown as Env), SLUICE_SECRETS: secrets } as Env;
  const response = await app.fetch(
    new Request("https://edge.example/health"),
    bindings,
    createExecutionContext(),
  );
  return { status: response.status, text: await response.text() };
}

test.each([
  ["no secrets", undefined, "SLUICE_SECRETS is not set"],
  ["secrets that are not JSON", "hunter2-hunter2", "SLUICE_SECRETS is not JSON"],
  ["a secret that is too short", '{"current":"k1","keys":{"k1":"c2hvcnQ"}}', "secret k1 is not 32 bytes"],
  [
    "a current secret that is not there",
    '{"current":"k2","keys":{}}',
    "the current secret is not among the keys",
  ],
])("with %s nobody is served", async (_, secrets, message) => {
  const { status, text } = await health(secrets);
  expect(status).toBe(503);
  expect(text).toContain(message);
  expect(text).not.toContain("hunter2");
  expect(text).not.toContain("c2hvcnQ");
});

test("with good secrets the edge is healthy", async () => {
  expect(await health((env as unknown as Env).SLUICE_SECRETS)).toMatchObject({ status: 200 });
});
