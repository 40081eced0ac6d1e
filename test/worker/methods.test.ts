/** A method nobody expects is told apart from a path nobody serves, on every path there is. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { test } from "vitest";
import { app } from "../../src/app.ts";

async function asked(method: string, path: string): Promise<readonly unknown[]> {
  const request = new Request(`https://edge.example.com${path}`, { method });
  const response = await app.fetch(request, env, createExecutionContext());
  const { error } = await response.json<{ error: { code: string; message: string } }>();
  return [response.status, response.headers.get("allow"), error.message];
}

test.for([
  ["GET", "/v1/chat/completions", 405, "POST", "Use POST here."],
  ["DELETE", "/embeddings", 405, "POST", "Use POST here."],
  ["PUT", "/v1/models", 405, "GET", "Use GET here."],
  ["POST", "/v1/models/deepseek-chat", 405, "GET", "Use GET here."],
  ["POST", "/health", 405, "GET", "Use GET here."],
  ["PUT", "/v1/keys", 405, "GET, POST", "Use GET or POST here."],
  ["GET", "/node/v1/beat", 405, "POST", "Use POST here."],
  ["POST", "/v1/usage", 405, "GET", "Use GET here."],
  ["GET", "/v1/responses", 404, null, "There is nothing at /v1/responses."],
  ["POST", "/", 404, null, "There is nothing at /."],
] as const)("%s %s is %i", async ([method, path, ...expected], { expect }) => {
  expect(await asked(method, path)).toEqual(expected);
});
